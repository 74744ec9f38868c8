"""An event as the log holds it, and what can be told from it alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

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
_SPEAKS_OF_OTHERS = LISTS_MEMBERS | {REMOVE_MEMBER, RESOLVE_DUPLICATE}
BUILT_IN = CREATES | UPDATES | {ADD_MEMBER, REMOVE_MEMBER, DELETE_ENTITY, RESOLVE_DUPLICATE}

Data = dict[str, Any]
Place = tuple[int, int, int, str]
"""Where an event stands in the order of the fold: (effective_ms, timestamp_ms, rank, guid)."""


@dataclass(slots=True)
class Event:
    """One form submission. Times are milliseconds since 1970.

    `data` is what was pushed; `applied`, where it is not None, is what the fold takes instead: less of the same.
    `digest` is empty until somebody asks `digest_of`.
    `base_seq` is the number up to which its maker had seen the entity, as far as is known.
    `effective_ms` is the device's time, but not later than its arrival plus a tolerance, fixed at first arrival.
    `erased`: what it said of a person was taken out; `digest` then is no longer that of `data`.
    `erases`: it deletes its entity for good. Only the server makes such an event.
    """

    guid: str
    entity_guid: str
    type: str
    data: Data
    timestamp: str
    timestamp_ms: int
    effective_ms: int
    user_id: str
    applied: Data | None = None
    base_seq: int | None = None
    seq: int = 0
    digest: bytes = field(default=b"", compare=False, repr=False)
    erased: bool = False
    erases: bool = False
    mentions: tuple[str, ...] = field(init=False)
    place: Place = field(init=False)

    def __post_init__(self) -> None:
        others = _others(self.type, self.data) if self.type in _SPEAKS_OF_OTHERS else ()
        self.mentions = tuple(dict.fromkeys((self.entity_guid, *others))) if others else (self.entity_guid,)
        self.place = (self.effective_ms, self.timestamp_ms, self._rank(), self.guid)

    @property
    def fields(self) -> Data:
        """What the fold merges."""
        return self.data if self.applied is None else self.applied

    @property
    def says_nothing(self) -> bool:
        """Whether it holds neither a field nor a member, and never did."""
        return not self.members and not self.fields and not (self.erased and self.applied is None)

    @property
    def members(self) -> list[Data]:
        """The entries it lists as members: the first alone for add-member."""
        if self.type not in LISTS_MEMBERS:
            return []
        entries: list[Data] = self.data.get("members") or []
        return entries[:1] if self.type == ADD_MEMBER else entries

    @property
    def makes(self) -> Iterator[str]:
        """The guids of the entities it can bring into being, other than by an update nobody created."""
        if self.type in CREATES:
            yield self.entity_guid
        yield from (guid for guid in listed(self.members) if guid != self.entity_guid)

    @property
    def forms(self) -> Iterator[tuple[str, str, str]]:
        """The entities that it writes, as (guid, form that it names or "", form where none is named: its type)."""
        if self.type in CREATES | UPDATES:
            kind = "group" if self.type in (CREATE_GROUP, UPDATE_GROUP) else "individual"
            yield self.entity_guid, _form_named(self.data), kind
        yield from _forms_of(self.members)

    @property
    def joins(self) -> Iterator[tuple[str, str]]:
        """The memberships it can make, at any depth, as (group, member)."""
        yield from _joins(self.entity_guid, self.members)

    @property
    def removes(self) -> str | None:
        """The guid of the entity that it can take away together with all below it."""
        if self.type == REMOVE_MEMBER:
            return str(self.data["memberId"])
        return self.entity_guid if self.deletes else None

    @property
    def deletes(self) -> bool:
        """Whether it deletes its own entity."""
        return self.type == DELETE_ENTITY or (self.type == RESOLVE_DUPLICATE and bool(self.data.get("shouldDelete")))

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs a resolve-duplicate settles, as (entityGuid, duplicateGuid)."""
        if self.type != RESOLVE_DUPLICATE:
            return []
        return [(each["entityGuid"], each["duplicateGuid"]) for each in self.data["duplicates"]]

    def _rank(self) -> int:
        if self.type in CREATES:
            return 0
        return 2 if self.deletes else 1


def listed(entries: list[Data]) -> Iterator[str]:
    """The guids of member entries at any depth."""
    for entry in entries:
        yield entry["guid"]
        if entry.get("type") == "group":
            yield from listed(entry.get("members") or [])


def _form_named(data: Data) -> str:
    name = data.get("entityName")
    return name if isinstance(name, str) else ""


def _forms_of(entries: list[Data]) -> Iterator[tuple[str, str, str]]:
    for entry in entries:
        is_group = entry.get("type") == "group"
        yield entry["guid"], _form_named(entry), "group" if is_group else "individual"
        if is_group:
            yield from _forms_of(entry.get("members") or [])


def _joins(group: str, entries: list[Data]) -> Iterator[tuple[str, str]]:
    for entry in entries:
        yield group, entry["guid"]
        if entry.get("type") == "group":
            yield from _joins(entry["guid"], entry.get("members") or [])


def _others(type_: str, data: Data) -> Iterator[str]:
    """The guids of the entities it speaks of besides its own."""
    if type_ in LISTS_MEMBERS:
        entries = data.get("members") or []
        yield from listed(entries[:1] if type_ == ADD_MEMBER else entries)
    elif type_ == REMOVE_MEMBER:
        yield str(data["memberId"])
    elif type_ == RESOLVE_DUPLICATE:
        for pair in data["duplicates"]:
            yield pair["entityGuid"]
            yield pair["duplicateGuid"]
