import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.kit.passwords import MAXIMUM_BYTES, password_problems


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
        ("Aa1!" + "a" * 69, "at most 72 bytes"),
        ("Aa1!" + "é" * 35, "at most 72 bytes"),
        ("Aa1!aaaa\0", "NUL"),
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


@given(st.text(st.characters()))
def test_any_text_is_judged_without_an_exception_and_without_showing_it(password: str) -> None:
    problems = password_problems(password)
    if not problems:
        assert len(password.encode("utf-8", "surrogatepass")) <= MAXIMUM_BYTES
    if len(password) > 20:
        assert password not in " ".join(problems)
