"""Taking what is said of a person who was erased on the server out of the events that the device holds."""

from typing import Any

from server.device import overlay, queries, receipts
from server.device.model import GROUP, Data, Event
from server.device.shapes import LISTS_MEMBERS, REMOVE_MEMBER, RESOLVE_DUPLICATE
from server.device.store import Store, event_from
from server.device.strict import write

_NAMING = ("guid", "entityGuid")
_UNMISTAKABLE = 16


def erase(store: Store, guid: str) -> None:
    """Nothing of the person stays but her guid. What waits to be offered is left until the server has answered."""
    with store.transaction() as db:
        events = [event_from(row) for row in queries.list_whole_events_of(db, guid)]
        for event in events:
            data = _left_of(event, guid)
            if data != event.data:
                applied = None if event.applied is None else write(_without_in(event.applied, guid))
                digest = receipts.digest(event).hex()
                queries.set_erased(db, event.guid, write(data), None if event.entity_guid == guid else applied, digest)
        queries.settle_conflicts_of(db, guid)
        if events:
            overlay.make_stale(store)


def _left_of(event: Event, guid: str) -> Data:
    """Of her own events who belongs together; of others' all that is not about her."""
    if event.entity_guid != guid and event.type not in (REMOVE_MEMBER, RESOLVE_DUPLICATE):
        return _without_in(event.data, guid)
    kept = {"members"} if event.type in LISTS_MEMBERS else set()
    kept |= {REMOVE_MEMBER: {"memberId"}, RESOLVE_DUPLICATE: {"duplicates", "shouldDelete"}}.get(event.type, set())
    left = {key: value for key, value in event.data.items() if key in kept}
    if event.type == RESOLVE_DUPLICATE and isinstance(left.get("duplicates"), list):
        pairs = [pair for pair in left["duplicates"] if isinstance(pair, dict)]
        return left | {"duplicates": [_pair(pair) for pair in pairs]}
    return _without_in(left, guid)


def _pair(pair: Data) -> Data:
    return {key: pair.get(key) for key in ("entityGuid", "duplicateGuid")}


def _without_in(fields: Data, guid: str) -> Data:
    is_key = len(guid) >= _UNMISTAKABLE
    return {key: {} if is_key and key == guid else _without(value, guid) for key, value in fields.items()}


def _without(value: Any, guid: str) -> Any:
    if isinstance(value, list):
        return [_without(each, guid) for each in value]
    if not isinstance(value, dict):
        return value
    if all(value.get(key) != guid for key in _NAMING):
        return _without_in(value, guid)
    left = {key: guid for key in _NAMING if value.get(key) == guid}
    if value.get("type") == GROUP:
        left |= {"type": GROUP, "members": _without(value.get("members") or [], guid)}
    return left
