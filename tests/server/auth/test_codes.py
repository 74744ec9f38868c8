import string
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from server.auth.codes import digest_of, make_code

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LOOK_ALIKES = {"0": "0oO", "1": "1iIlL"}

plain_codes = st.text(ALPHABET, min_size=20, max_size=20)


@given(plain_codes, st.data())
def test_code_is_the_same_however_somebody_types_it(plain: str, data: st.DataObject) -> None:
    typed = ""
    for character in plain:
        spellings = LOOK_ALIKES.get(character, character + character.lower())
        typed += data.draw(st.sampled_from(spellings)) + data.draw(st.sampled_from(["", "-", " ", " - ", "–"]))
    assert digest_of(typed, 20) == digest_of(plain, 20) is not None


@given(plain_codes, plain_codes)
def test_different_codes_have_different_digests(one: str, other: str) -> None:
    assert (digest_of(one, 20) == digest_of(other, 20)) == (one == other)


def is_code(text: str) -> bool:
    kept = [character for character in text if character not in " -\t\u00a0\u2010\u2011\u2012\u2013\u2014\u2212"]
    return len(text) <= 100 and len("".join(kept).upper()) == 20 and set("".join(kept).upper()) <= set(ALPHABET + "OIL")


@given(st.one_of(st.text(max_size=120), st.text(string.printable, max_size=30), plain_codes.map(lambda c: c + "-")))
def test_what_cannot_be_a_code_has_no_digest(typed: str) -> None:
    assert (digest_of(typed, 20) is not None) == is_code(typed)


def test_new_codes_are_in_groups_and_differ() -> None:
    codes = [make_code(4, 5) for _ in range(200)]
    assert len(set(codes)) == 200
    well_formed: Callable[[str], bool] = lambda group: len(group) == 5 and set(group) <= set(ALPHABET)  # noqa: E731
    assert all(len(code.split("-")) == 4 and all(map(well_formed, code.split("-"))) for code in codes)
    assert set("".join(codes)) - {"-"} == set(ALPHABET), "some character never comes"
