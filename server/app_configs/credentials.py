"""Which texts are credentials, whatever the key they stand under."""

import re
from base64 import b64decode

_AUTHORIZATION = re.compile(r"\s*(basic|bearer)\s+\S+\s*", re.IGNORECASE)
_CREDENTIAL = re.compile(r"\b(basic|bearer)\s+([A-Za-z0-9._~+/-]{6,})", re.IGNORECASE)
_LONG = 20


def is_authorization(text: str) -> bool:
    """True for one word after `Basic` or `Bearer`, as in a header; also for what people call a `Basic course`."""
    return _AUTHORIZATION.fullmatch(text) is not None


def holds_credential(text: str) -> bool:
    """True when `Basic` or `Bearer` is followed, anywhere in the text, by what is no word of a language."""
    return any(
        _is_user_and_password(match[2]) if match[1].lower() == "basic" else _is_no_word(match[2])
        for match in _CREDENTIAL.finditer(text)
    )


def _is_user_and_password(token: str) -> bool:
    try:
        pair = b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
    except ValueError:
        return False
    return ":" in pair and pair.isprintable()


def _is_no_word(token: str) -> bool:
    has_capitals_inside = not token.isupper() and token[1:] != token[1:].lower()
    return len(token) >= _LONG or has_capitals_inside or any(character.isdigit() for character in token)
