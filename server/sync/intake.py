"""Reading what a device pushed: each raw event becomes an Event, or a Refusal that says what is wrong with it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from server.kit.clock import MILLISECOND, parse_iso, to_ms
from server.kit.strict_json import MAX_INTEGER, canonical_json
from server.sync.event import ADD_MEMBER, LISTS_MEMBERS, REMOVE_MEMBER, RESOLVE_DUPLICATE, UPDATES, Data, Event
from server.sync.old_clients.noise import is_made_by_library

MAX_TEXT = 256
MAX_TYPE = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something pushed is no event: `path` is the place inside the event, `guid` its guid where it has one."""

    guid: str
    code: str
    path: str
    detail: str


class _Bad(Exception):
    def __init__(self, path: str, detail: str, code: str = "event.invalid") -> None:
        super().__init__(detail)
        self.path = path
        self.detail = detail
        self.code = code


def read_event(
    raw: Any, *, arrival_ms: int, tolerance: timedelta, in_full: bool = False, may_be_empty: bool = False
) -> Event | Refusal:
    """Reads one pushed event; with `in_full` also what installed phones do not say: baseVersion and applied.

    `may_be_empty`: its data may have been taken out.

    Its time counts as the device says, but not later than its arrival plus the tolerance: a clock that is a year ahead
    must not win for a year.
    """
    guid = raw.get("guid") if isinstance(raw, dict) else None
    try:
        latest_ms = arrival_ms + tolerance // MILLISECOND
        return _event(raw, latest_ms=latest_ms, in_full=in_full, may_be_empty=may_be_empty)
    except _Bad as bad:
        return Refusal(guid if isinstance(guid, str) else "", bad.code, bad.path, bad.detail)


def _event(raw: Any, *, latest_ms: int, in_full: bool, may_be_empty: bool) -> Event:
    if not isinstance(raw, dict):
        raise _Bad("", "an event is an object")
    type_ = _text(raw, "type", most=MAX_TYPE)
    data = raw.get("data")
    if not isinstance(data, dict) or not (data or may_be_empty):
        raise _Bad("data", "must be an object that is not empty")
    _check_data(type_, data)
    timestamp = _text(raw, "timestamp")
    timestamp_ms = _time(timestamp)
    event = Event(
        guid=_text(raw, "guid"),
        entity_guid=_text(raw, "entityGuid"),
        type=type_,
        data=data,
        timestamp=timestamp,
        timestamp_ms=timestamp_ms,
        effective_ms=min(timestamp_ms, latest_ms),
        user_id=_user_id(raw),
        base_seq=_base(raw) if in_full else None,
        applied=_applied(raw, type_, data) if in_full else None,
    )
    if event.applied is None and is_made_by_library(event):
        event.applied = {}
    return event


def _text(raw: dict[str, Any], key: str, *, most: int = MAX_TEXT, path: str = "") -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise _Bad(path + key, "must be text that is not empty")
    if len(value) > most:
        raise _Bad(path + key, f"must be at most {most} characters")
    return value


def _user_id(raw: dict[str, Any]) -> str:
    """Account numbers are met as numbers, too."""
    value = raw.get("userId")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(raw, "userId")


def _base(raw: dict[str, Any]) -> int | None:
    value = raw.get("baseVersion")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MAX_INTEGER:
        raise _Bad("baseVersion", "must be the version of the entity, a whole number")
    return value


def _applied(raw: dict[str, Any], type_: str, data: Data) -> Data | None:
    value = raw.get("applied")
    if value is None:
        return None
    if type_ not in UPDATES or not isinstance(value, dict) or not _is_part(value, data):
        raise _Bad("applied", "must be a part of data, in an update")
    return value


def _is_part(part: Data, whole: Data) -> bool:
    return all(key in whole and canonical_json(value) == canonical_json(whole[key]) for key, value in part.items())


def _time(text: str) -> int:
    try:
        return to_ms(parse_iso(text))
    except ValueError:
        raise _Bad("timestamp", "must be a time in ISO 8601") from None


def _check_data(type_: str, data: dict[str, Any]) -> None:
    if type_ in LISTS_MEMBERS:
        _check_members(type_, data)
    elif type_ == REMOVE_MEMBER:
        _text(data, "memberId", path="data.")
    elif type_ == RESOLVE_DUPLICATE:
        _check_pairs(data.get("duplicates"))


def _check_members(type_: str, data: dict[str, Any]) -> None:
    members = data.get("members")
    if members is None and type_ != ADD_MEMBER:
        return
    if not isinstance(members, list):
        raise _Bad("data.members", "must be a list")
    if type_ == ADD_MEMBER and not members:
        raise _Bad("data.members", "must hold the new member")
    for path, entry in _entries(members, "data.members"):
        if not isinstance(entry, dict):
            raise _Bad(path, "a member is an object")
        _text(entry, "guid", path=f"{path}.")


def _entries(members: list[Any], path: str) -> Iterator[tuple[str, Any]]:
    for index, entry in enumerate(members):
        here = f"{path}[{index}]"
        yield here, entry
        below = entry.get("members") if isinstance(entry, dict) and entry.get("type") == "group" else None
        if below is not None and not isinstance(below, list):
            raise _Bad(f"{here}.members", "must be a list")
        yield from _entries(below or [], f"{here}.members")


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, list) or not pairs:
        raise _Bad("data.duplicates", "must be a list of pairs")
    for index, pair in enumerate(pairs):
        path = f"data.duplicates[{index}]"
        if not isinstance(pair, dict):
            raise _Bad(path, "must be an object with entityGuid and duplicateGuid")
        _text(pair, "entityGuid", path=f"{path}.")
        _text(pair, "duplicateGuid", path=f"{path}.")
