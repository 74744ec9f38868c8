"""What can be told from an event alone: whether it is one, and of which entities it speaks."""

from collections.abc import Iterator, Mapping
from typing import Any

from server.device.errors import InvalidEvent
from server.device.model import GROUP, Data

CREATE_INDIVIDUAL = "create-individual"
UPDATE_INDIVIDUAL = "update-individual"
CREATE_GROUP = "create-group"
UPDATE_GROUP = "update-group"
ADD_MEMBER = "add-member"
REMOVE_MEMBER = "remove-member"
DELETE_ENTITY = "delete-entity"
RESOLVE_DUPLICATE = "resolve-duplicate"

CREATES = frozenset({CREATE_INDIVIDUAL, CREATE_GROUP})
UPDATES = frozenset({UPDATE_INDIVIDUAL, UPDATE_GROUP})
LISTS_MEMBERS = frozenset({CREATE_GROUP, UPDATE_GROUP, ADD_MEMBER})

MAX_GUID = 256
MAX_TYPE = 64


def check_shape(type_: str, entity_guid: str, data: Data) -> None:
    """Raises InvalidEvent for what the server would put into quarantine."""
    check_text(type_, "type", MAX_TYPE)
    check_text(entity_guid, "entityGuid", MAX_GUID)
    if not data:
        raise InvalidEvent("data", "must not be empty")
    if type_ in LISTS_MEMBERS:
        _check_members(data.get("members"), "data.members", needed=type_ == ADD_MEMBER)
    elif type_ == REMOVE_MEMBER:
        check_text(data.get("memberId"), "data.memberId", MAX_GUID)
    elif type_ == RESOLVE_DUPLICATE:
        _check_pairs(data.get("duplicates"))


def check_text(value: Any, path: str, most: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise InvalidEvent(path, f"must be text of 1 to {most} characters")


def _check_members(members: Any, path: str, *, needed: bool) -> None:
    if members is None and not needed:
        return
    if not isinstance(members, list) or (needed and not members):
        raise InvalidEvent(path, "must be a list of members")
    for index, entry in enumerate(members):
        here = f"{path}[{index}]"
        if not isinstance(entry, dict):
            raise InvalidEvent(here, "a member is an object")
        check_text(entry.get("guid"), f"{here}.guid", MAX_GUID)
        if entry.get("type") == GROUP:
            _check_members(entry.get("members"), f"{here}.members", needed=False)


def _check_pairs(pairs: Any) -> None:
    if not isinstance(pairs, list) or not pairs:
        raise InvalidEvent("data.duplicates", "must be a list of pairs")
    for index, pair in enumerate(pairs):
        if not isinstance(pair, dict):
            raise InvalidEvent(f"data.duplicates[{index}]", "must be an object with entityGuid and duplicateGuid")
        for key in ("entityGuid", "duplicateGuid"):
            check_text(pair.get(key), f"data.duplicates[{index}].{key}", MAX_GUID)


def members_of(type_: str, data: Data) -> list[Data]:
    """The entries that an event lists as members: the first alone for add-member."""
    entries = entries_in(data) if type_ in LISTS_MEMBERS else []
    return entries[:1] if type_ == ADD_MEMBER else entries


def entries_in(data: Data) -> list[Data]:
    members = data.get("members")
    return [entry for entry in members if isinstance(entry, dict)] if isinstance(members, list) else []


def mentions(type_: str, entity_guid: str, data: Data) -> set[str]:
    """The guids of the entities that an event speaks of. Takes what others made as it comes."""
    found = {entity_guid, *_listed(members_of(type_, data))}
    if type_ == REMOVE_MEMBER:
        found.add(str(data.get("memberId")))
    if type_ == RESOLVE_DUPLICATE and isinstance(data.get("duplicates"), list):
        pairs = [pair for pair in data["duplicates"] if isinstance(pair, Mapping)]
        found |= {str(guid) for pair in pairs for guid in (pair.get("entityGuid"), pair.get("duplicateGuid"))}
    return found


def _listed(entries: list[Data]) -> Iterator[str]:
    for entry in entries:
        yield str(entry.get("guid"))
        if entry.get("type") == GROUP:
            yield from _listed(entries_in(entry))
