import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from server.users.model import DEFAULT_PAGE_SIZE, MOST_PAGE_SIZE, NewUser, Page, page_of

NUMBERS = st.none() | st.integers(-(2**53), 2**53)


@given(total=st.integers(0, 5000), number=NUMBERS, size=NUMBERS)
def test_every_page_asked_for_lies_within_the_list(total: int, number: int | None, size: int | None) -> None:
    page = page_of(total, number, size)
    if number is None and size is None:
        assert page == Page(None, 0)
    else:
        assert page.limit is not None
        assert 1 <= page.limit <= MOST_PAGE_SIZE
        assert page.offset % page.limit == 0
        assert 0 <= page.offset < max(total, 1)


@given(total=st.integers(0, 1000), size=st.integers(1, MOST_PAGE_SIZE))
def test_pages_one_after_another_show_every_row_once(total: int, size: int) -> None:
    pages = [page_of(total, number, size) for number in range(1, -(-total // size) + 1)]
    shown = [row for page in pages for row in range(page.offset, min(page.offset + size, total))]
    assert shown == list(range(total))


def test_page_without_a_size_has_the_default_size() -> None:
    assert page_of(100, 2, None) == Page(DEFAULT_PAGE_SIZE, DEFAULT_PAGE_SIZE)


@pytest.mark.parametrize("email", ["a@b", "ann.o'brien+x@example.test", "آنا@مثال.test"])
def test_email_address_is_kept_as_it_was_written_without_spaces_around_it(email: str) -> None:
    assert NewUser(email=f" {email}\n", password="", role="USER").email == email


@pytest.mark.parametrize("email", ["", " ", "ann", "@b.test", "ann@", "a@b@c", "a b@c.test", "a/b@c.test", "a\0@b.test",
                                   "a@b.te\u200bst", "x" * 320 + "@b.test"])  # fmt: skip
def test_what_is_no_email_address_is_refused(email: str) -> None:
    with pytest.raises(ValidationError, match="not an e-mail address"):
        NewUser(email=email, password="", role="USER")
