"""Reading the Cookie header of a browser, which holds the cookies of others, too."""

import pytest

from server.kit.cookies import cookie_in


@pytest.mark.parametrize(
    "header",
    [
        "ours=a.b-c_d",
        "ours=a.b-c_d; other=1",
        'json={"a":1}; ours=a.b-c_d',
        "flag; ours=a.b-c_d",
        "Path=/x; ours=a.b-c_d",
        "spaced=a b, c; ours=a.b-c_d",
        "umlaut=\xe4\xff; ours=a.b-c_d",
        'open="quote; ours=a.b-c_d',
        "=; ;; ours=a.b-c_d ;",
        "ours2=x; xours=y; OURS=z; ours=a.b-c_d",
    ],
)
def test_cookie_is_found_whatever_others_hold(header: str) -> None:
    assert cookie_in(header, "ours") == "a.b-c_d"


@pytest.mark.parametrize("header", ["", "other=1", "x=ours=a", "ours", "ours=", 'x="; ours2=a"'])
def test_cookie_that_is_not_there_is_empty(header: str) -> None:
    assert cookie_in(header, "ours") == ""


def test_of_two_cookies_of_one_name_none_is_believed() -> None:
    assert cookie_in("ours=a; ours=b", "ours") == ""
