from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.passwords import MAXIMUM_CHARACTERS, password_problems


def test_password_that_keeps_every_rule_has_no_problems() -> None:
    assert password_problems("Maize-2026") == []


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("Aa1!aaa", "at least 8 characters"),
        ("aaaaaa1!", "upper-case"),
        ("AAAAAA1!", "lower-case"),
        ("Aaaaaaa!", "digit"),
        ("Aaaaaaa1", "special"),
        ("Aaaaaaa 1", "special"),
        ("Maize-2026" * 102 + "Beans", "at most 1024 characters"),
        ("Maize-2026\0", "NUL"),
        ("Password1!", "tried early on"),
        ("P@ssw0rd", "tried early on"),
        ("Qwerty123!", "tried early on"),
        ("Welcome1!", "tried early on"),
        ("Summer2024!", "tried early on"),
        ("Aa1!" * 18, "tried early on"),
    ],
)
def test_each_broken_rule_is_named_alone(password: str, problem: str) -> None:
    problems = password_problems(password)
    assert len(problems) == 1
    assert problem in problems[0]


def test_every_broken_rule_is_named_at_once() -> None:
    assert len(password_problems("")) == 5


def test_letters_of_any_script_count() -> None:
    assert password_problems("Ñandú-٣٤") == []


def test_eight_characters_at_random_are_enough() -> None:
    assert password_problems("x7$Kq9pL") == []


@pytest.mark.parametrize(
    "password",
    ["Amina.Wanjiru-2026", "Wanjiru!Amina7", "ministry-Amina-9", "4m1na.W4njiru!X", "amina.wanjiru@Ministry.test1"],
)
def test_password_made_of_the_email_address_is_refused(password: str) -> None:
    address = "amina.wanjiru@ministry.test"
    assert password_problems(password) == []
    [problem] = password_problems(password, about=[address])
    assert "e-mail address or a name" in problem


def test_password_that_happens_to_hold_a_part_of_the_address_is_accepted() -> None:
    assert password_problems("9-Goats-Amina-Never-Sold", about=["amina@ministry.test"]) == []


def test_words_about_one_person_do_not_count_for_the_next() -> None:
    assert password_problems("Wanjiru!Amina7", about=["amina.wanjiru@ministry.test"])
    assert password_problems("Wanjiru!Amina7", about=["boss@ministry.test"]) == []


@pytest.mark.parametrize("piece", ["4@8({[</>69&#!1Aa", "Aa1!", "qwertyuiop1!A", "01/01/2020Aa!"])
def test_judging_the_longest_password_takes_little_time(piece: str) -> None:
    password = (piece * 1024)[:MAXIMUM_CHARACTERS]
    password_problems("Maize-2026")
    began = perf_counter()
    password_problems(password, about=["amina@ministry.test"])
    assert perf_counter() - began < 2


@given(st.text(st.characters()))
@settings(deadline=None)
def test_any_text_is_judged_without_an_exception_and_without_showing_it(password: str) -> None:
    problems = password_problems(password, about=[password])
    if not problems:
        assert 8 <= len(password) <= MAXIMUM_CHARACTERS
    if len(password) > 20:
        assert password not in " ".join(problems)
