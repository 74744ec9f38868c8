"""Pieces of names."""

from hypothesis import given
from hypothesis import strategies as st

from server.entities.names import name_parts

letters = st.one_of(st.characters(codec="ascii"), st.sampled_from("éñ山田太郎김민수محمد"))


@given(before=st.text(letters), part=st.text(letters), after=st.text(letters))
def test_name_holds_the_pieces_of_each_part_of_it(before: str, part: str, after: str) -> None:
    assert set(name_parts(part)) <= set(name_parts(before + part + after))


def test_three_letters_can_be_found_in_any_script_and_one_in_those_that_write_words_so() -> None:
    assert [bool(name_parts(part)) for part in ("Ann", "An", "", "山", "김민", "مح")] == [
        True,
        False,
        False,
        True,
        True,
        False,
    ]


def test_pieces_are_in_lower_case_and_each_stands_once() -> None:
    assert sorted(name_parts("BANANA")) == ["ana", "ban", "nan"]
