"""Values in the form in which they are compared."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from server.duplicates.normal_forms import plain_date, plain_id, plain_name, plain_phone, plain_text

NORMAL_FORMS = [plain_text, plain_name, plain_date, plain_id, plain_phone]

values = st.one_of(
    st.text(),
    st.text(alphabet="0123456789-/. T:()+", max_size=20),
    st.integers(),
    st.floats(),
    st.none(),
    st.booleans(),
    st.lists(st.text()),
    st.dictionaries(st.text(), st.text()),
)


@pytest.mark.parametrize("normal_form", NORMAL_FORMS)
@given(value=values)
@example("(1990-03-17)")
@example("1000000000")
@example("ΐ\u0345ß\u1e9e\ufb03İ")
def test_normal_form_of_a_normal_form_is_itself(normal_form: Callable[[Any], str], value: Any) -> None:
    once = normal_form(value)
    assert normal_form(once) == once


@pytest.mark.parametrize("normal_form", NORMAL_FORMS)
@given(value=values)
def test_normal_form_has_no_spaces_to_spare_and_no_case(normal_form: Callable[[Any], str], value: Any) -> None:
    text = normal_form(value)
    assert text == " ".join(text.split())
    assert not any(letter.isupper() and letter.isascii() for letter in text)


@pytest.mark.parametrize("value", [None, "", "  ", "\t", "...", True, False, [], {}, ["Amina"], {"name": "Amina"}])
@pytest.mark.parametrize("normal_form", NORMAL_FORMS)
def test_value_that_says_nothing_has_no_normal_form(normal_form: Callable[[Any], str], value: Any) -> None:
    assert normal_form(value) == ""


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("José  María", "jose maria"),
        ("O'Brien", "O’BRIEN"),
        ("Anne-Marie", "Anne Marie"),
        ("Straße", "STRASSE"),
        ("Nguyễn Văn Ánh", "nguyen van anh"),
        ("مُحَمَّد", "محمد"),
        ("ＡＭＩＮＡ", "Amina"),
        ("Zoë", "Zoe\u0308"),
    ],
)
def test_case_accents_and_punctuation_do_not_count(one: str, other: str) -> None:
    assert plain_text(one) == plain_text(other)


def test_vowel_signs_that_make_another_name_are_kept() -> None:
    assert plain_text("सीता") != plain_text("सता")


def test_order_of_a_names_words_does_not_count() -> None:
    assert plain_name("Hassan, Fatuma") == plain_name("Fatuma Hassan")


@pytest.mark.parametrize(
    "written",
    [
        "1990-03-17",
        "1990-03-17T00:00:00.000Z",
        "1990-03-17T00:00:00+03:00",
        "1990/03/17",
        "19900317",
        19900317,
        "17/03/1990",
        "17.3.1990",
        "03/17/1990",
        " 1990-03-17 ",
        "١٩٩٠-٠٣-١٧",
    ],
)
def test_date_is_the_same_however_it_is_written(written: str | int) -> None:
    assert plain_date(written) == "1990-03-17"


def test_what_is_no_date_is_compared_as_text() -> None:
    assert plain_date("Spring 1990") == "spring 1990"
    assert plain_date("1990-02-31") == "1990 02 31"


def test_phone_is_its_last_nine_digits() -> None:
    assert plain_phone("+254 700 123 456") == plain_phone("0700-123456") == plain_phone(700123456) == "700123456"


@pytest.mark.parametrize("written", ["12345", "0000000000", "+1 000 000 000", "none", "+"])
def test_phone_that_cannot_be_one_says_nothing(written: str) -> None:
    assert plain_phone(written) == ""


def test_spaces_and_signs_in_an_id_do_not_count() -> None:
    assert plain_id("A-123 456/7") == plain_id("a1234567") == "a1234567"


@pytest.mark.parametrize("written", ["N/A", "none", "unknown", "0", "000000", "12", "-"])
def test_word_in_place_of_an_id_says_nothing(written: str) -> None:
    assert plain_id(written) == ""
