"""Marks: guids by which the server knows its own carrier events again when a phone pushes them back.

A guid is new at every serving, because a phone passes over guids that it knows: eight random bytes, and eight of their
HMAC under the log's key. Neither a phone's own guid nor a stranger's passes for one.
"""

import hmac
import secrets
from hashlib import sha256
from uuid import UUID

from server.sync.event import Event

PEOPLE_CARRIER = "c40f7c40-0000-4000-8000-000000000001"
GROUP_CARRIER = "c40f7c40-0000-4000-8000-000000000002"
"""The two reserved entities that carry others to a phone and are gone at the end of each page."""

CARRIERS = frozenset({PEOPLE_CARRIER, GROUP_CARRIER})

_HALF = 8


def new_mark(key: bytes) -> str:
    """A guid for a carrier event."""
    nonce = secrets.token_bytes(_HALF)
    return str(UUID(bytes=nonce + _tag(key, nonce)))


def is_carrier(event: Event, key: bytes) -> bool:
    """Whether the event is one that the server made for a page, or speaks of a carrier."""
    return event.entity_guid in CARRIERS or _is_mark(event.guid, key)


def _is_mark(guid: str, key: bytes) -> bool:
    try:
        raw = UUID(guid).bytes
    except ValueError:
        return False
    return hmac.compare_digest(raw[_HALF:], _tag(key, raw[:_HALF]))


def _tag(key: bytes, nonce: bytes) -> bytes:
    return hmac.new(key, nonce, sha256).digest()[:_HALF]
