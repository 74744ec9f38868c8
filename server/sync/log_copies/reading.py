"""Reading a copy: each line is an event of the log that was, with who sent it and when it arrived there."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, BinaryIO, Final

from server.kit.clock import parse_iso, to_ms
from server.kit.problem import Problem
from server.kit.strict_json import read_json
from server.sync.event import DELETE_ENTITY, Event
from server.sync.intake import MAX_TEXT, Refusal, read_event
from server.sync.push import Source

DEVICE: Final = "log-copy"
"""The device that an event is from whose line says none."""

LONGEST_LINE: Final = 64 * 1024 * 1024

_NO_EVENTS: Final = ("entity", "cursor", "snapshot", "resume")
"""What the other lines hold that a device pulls."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a copy, from 1. `result` is None for one that holds no event; `size` is its length in bytes.

    `is_end`: whether it is the last line of a copy that did not break off.
    """

    number: int
    size: int
    result: Event | Refusal | None = None
    source: Source | None = None
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """How lines are read: who offers them and when, and how far ahead of its arrival an event may be."""

    offered: Source
    tolerance: timedelta


def read_lines(file: BinaryIO, terms: Terms) -> Iterator[Line]:
    """The lines of a copy. One that is longer than LONGEST_LINE is refused without being read as a whole."""
    number = 0
    while text := file.readline(LONGEST_LINE + 1):
        number += 1
        if len(text) > LONGEST_LINE and not text.endswith(b"\n"):
            yield _refused(number, _skip_rest(file, text), "", "", f"is longer than {LONGEST_LINE} bytes")
        elif not text.isspace():
            yield _read(number, text, terms)


def _skip_rest(file: BinaryIO, text: bytes) -> int:
    size = len(text)
    while text and not text.endswith(b"\n"):
        text = file.readline(1024 * 1024)
        size += len(text)
    return size


def _read(number: int, text: bytes, terms: Terms) -> Line:
    try:
        told = read_json(text)
    except Problem as problem:
        path, why = (problem.errors[0].path, problem.errors[0].message) if problem.errors else ("", problem.detail)
        if not text.endswith(b"\n"):
            why = "The copy broke off here."
        return Line(number, len(text), Refusal("", problem.code, path, why))
    if isinstance(told, dict) and "guid" not in told:
        if any(key in told for key in _NO_EVENTS):
            return Line(number, len(text), is_end="more" in told)
        told = told.get("event", told)
    guid = told.get("guid") if isinstance(told, dict) else None
    guid = guid if isinstance(guid, str) else ""
    try:
        source = _source(told, terms.offered) if isinstance(told, dict) else terms.offered
        digest = _digest_of_erased(told) if isinstance(told, dict) else None
    except _Bad as bad:
        return _refused(number, len(text), guid, bad.path, str(bad))
    event = read_event(
        told,
        arrival_ms=to_ms(source.at),
        tolerance=terms.tolerance,
        in_full=True,
        may_be_empty=digest is not None,
    )
    if isinstance(event, Event):
        if digest is not None:
            event.erased, event.digest = True, digest
        event.erases = event.type == DELETE_ENTITY and told.get("erases") is True
        # It counts numbers of the log that was.
        event.base_seq = None
    return Line(number, len(text), event, source)


def _refused(number: int, size: int, guid: str, path: str, detail: str) -> Line:
    return Line(number, size, Refusal(guid, "event.invalid", path, detail))


class _Bad(Exception):
    def __init__(self, path: str, detail: str) -> None:
        super().__init__(detail)
        self.path = path


def _digest_of_erased(told: Mapping[str, Any]) -> bytes | None:
    """The digest of an event out of which something was taken; None for one that is as it was pushed."""
    if told.get("erased") is not True:
        return None
    try:
        digest = bytes.fromhex(told["digest"])
    except (KeyError, TypeError, ValueError):
        digest = b""
    if len(digest) != sha256().digest_size:
        raise _Bad("digest", "must be the digest of what was pushed, in hexadecimal")
    return digest


def _source(told: Mapping[str, Any], offered: Source) -> Source:
    """Who sent the event and when it arrived, as far as the line tells; nothing arrived later than now."""
    arrived = told.get("receivedAt")
    account, device_id = _name(told, "account"), _name(told, "deviceId")
    return Source(
        account or offered.account,
        device_id or offered.device_id,
        offered.at if arrived is None else min(_time(arrived), offered.at),
    )


def _name(told: Mapping[str, Any], key: str) -> str:
    value = told.get(key)
    if value is None:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
        raise _Bad(key, f"must be text of 1 to {MAX_TEXT} characters")
    return value


def _time(value: Any) -> datetime:
    try:
        return parse_iso(value)
    except (TypeError, ValueError):
        raise _Bad("receivedAt", "must be a time in ISO 8601") from None
