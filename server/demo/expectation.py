"""What every step of the story checks."""

from typing import Any

_LONGEST = 600


class Unexpected(Exception):
    """The server did not do what it should. `what` says about what, `expected` and `found` are readable."""

    def __init__(self, what: str, *, expected: str, found: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}")
        self.what = what
        self.expected = expected
        self.found = found


def expect(what: str, found: Any, expected: Any) -> None:
    """Raises Unexpected unless the two are equal."""
    if found != expected:
        raise Unexpected(what, expected=_shown(expected), found=_shown(found))


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
