import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.vault import KeyMissing, Keyring, NotSealed, key_id_of
from server.vault.keyring import SEALED_PREFIX

OLD, NEW = "an old key with more than 32 characters", "a new key with more than 32 characters"
old, new = Keyring(OLD), Keyring(NEW)
both = Keyring(NEW, [OLD])

texts = st.text(st.characters(exclude_categories=["Cs"]))
looks_sealed = st.from_regex(r"sealed:[0-9a-f]{8}:[A-Za-z0-9_-]{38,80}={0,2}", fullmatch=True)


def parts_of(sealed: str) -> tuple[str, bytes]:
    head, _, encoded = sealed.rpartition(":")
    return head, base64.urlsafe_b64decode(encoded)


@given(texts, texts)
def test_what_was_sealed_for_a_place_opens_there(text: str, place: str) -> None:
    assert new.open(new.seal(text, place=place), place=place) == text


@given(texts, texts, texts)
def test_what_was_sealed_for_a_place_opens_nowhere_else(text: str, place: str, other: str) -> None:
    sealed = new.seal(text, place=place)
    if other != place:
        with pytest.raises(NotSealed):
            new.open(sealed, place=other)


@given(texts, st.data())
def test_any_bit_that_is_turned_over_is_noticed(text: str, data: st.DataObject) -> None:
    head, raw = parts_of(new.seal(text, place="here"))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    turned = bytearray(raw)
    turned[bit // 8] ^= 1 << bit % 8
    with pytest.raises(NotSealed):
        new.open(f"{head}:{base64.urlsafe_b64encode(turned).decode()}", place="here")


@given(texts, st.data())
def test_what_was_cut_off_is_noticed(text: str, data: st.DataObject) -> None:
    head, raw = parts_of(new.seal(text, place="here"))
    left = raw[: data.draw(st.integers(0, len(raw) - 1))]
    with pytest.raises(NotSealed):
        new.open(f"{head}:{base64.urlsafe_b64encode(left).decode()}", place="here")


@given(texts | looks_sealed | texts.map(lambda text: SEALED_PREFIX + text))
def test_any_other_text_is_refused_in_one_of_two_ways(text: str) -> None:
    with pytest.raises((NotSealed, KeyMissing)):
        new.open(text, place="here")


@given(texts)
def test_every_sealed_text_names_its_key(text: str) -> None:
    sealed = new.seal(text, place="here")
    assert key_id_of(sealed) == new.current
    assert new.is_current(sealed)
    assert not old.is_current(sealed)


@given(texts)
def test_what_was_sealed_looks_sealed_and_nothing_shorter_does(text: str) -> None:
    empty = new.seal("", place="here")
    assert len(new.seal(text, place="here")) >= len(empty)
    assert key_id_of(empty.rstrip("=")[:-1]) is None


def test_same_text_is_sealed_otherwise_each_time() -> None:
    assert len({new.seal("text", place="here") for _ in range(100)}) == 100


def test_earlier_key_opens_and_does_not_seal() -> None:
    sealed = old.seal("text", place="here")
    assert both.open(sealed, place="here") == "text"
    assert both.current == new.current
    assert key_id_of(both.seal("text", place="here")) == new.current


def test_missing_key_is_named_by_its_id_and_not_by_its_text() -> None:
    with pytest.raises(KeyMissing) as missing:
        new.open(old.seal("text", place="here"), place="here")
    assert missing.value.key_id == old.current
    assert OLD not in str(missing.value)
    assert (new.has_key(old.current), both.has_key(old.current)) == (False, True)


def test_another_key_under_a_forged_id_is_noticed() -> None:
    forged = old.seal("text", place="here").replace(old.current, new.current)
    with pytest.raises(NotSealed):
        new.open(forged, place="here")


def test_keys_do_not_show_in_what_is_printed_of_a_keyring() -> None:
    assert not any(key in f"{both!r} {both}" for key in (OLD, NEW))


@pytest.mark.parametrize("text", ["", "sealed:", "sealed: the letters", "sealed:0123abcd:", "x" * 100, "sealed:0:\0"])
def test_ordinary_texts_do_not_look_sealed(text: str) -> None:
    assert key_id_of(text) is None
