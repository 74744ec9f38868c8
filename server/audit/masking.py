"""What an act says besides who and what: as canonical JSON, without secrets and within bounds."""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

import orjson

from server.kit.secret_keys import is_secret_key
from server.kit.strict_json import canonical_json, dump_json

MASK: Final = "••••••••"
MOST_BYTES: Final = 64 * 1024
"""The largest content that is kept; of a larger one, its size and digest."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)")


def content_of(details: Mapping[str, Any] | None, before: Any, after: Any) -> str:
    """The JSON text of what is known of an act: its details, and under `before` and `after` what it changed."""
    given = dict(details or {})
    given |= {name: value for name, value in (("before", before), ("after", after)) if value is not None}
    text = _text_of(masked(orjson.loads(dump_json(given))))
    if len(text) <= MOST_BYTES:
        return text.decode()
    return _text_of({"tooLarge": len(text), "sha256": sha256(text).hexdigest()}).decode()


def masked(value: Any) -> Any:
    """The value with all that stands under a secret's name masked, and passwords in addresses."""
    if isinstance(value, dict):
        return {key: MASK if is_secret_key(key) and _is_text(inner) else masked(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return _CREDENTIALS.sub(MASK, value) if isinstance(value, str) else value


def _is_text(value: Any) -> bool:
    """Whether it can hold a secret: none is a yes or no, or nothing."""
    return value is not None and not isinstance(value, bool) and value not in ("", [], {})


def _text_of(value: Any) -> bytes:
    try:
        return canonical_json(value)
    except ValueError:
        # A number that has no canonical form. The digest is that of the text, whatever the text is.
        return dump_json(value)
