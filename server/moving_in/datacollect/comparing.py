"""The other server's table of entities beside what the log makes of them here.

That server keeps entities beside its log and has lost some of what the log says, so where the two differ the log is
right. What no event explains is another matter: records and fields that were written past the log would be lost, so
events are made for them.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from server.db.connection import Row
from server.kit.clock import EPOCH, iso_ms, parse_iso
from server.kit.strict_json import canonical_json
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.mapping import derived
from server.moving_in.datacollect.reading import Source, in_batches, read_value
from server.moving_in.datacollect.reasons import (
    CHANGED_HERE,
    DELETED_HERE,
    LOST_THERE,
    NOT_APPLIED,
    NOT_MADE,
    OTHER_MEMBERS,
    OTHER_ORDER,
    REFUSED_EVENT,
    UNREADABLE,
)
from server.moving_in.datacollect.report import Finding, Heading
from server.sync.fold import DELETED, GROUP, LIVE

BATCH: Final = 1_000
_BATCH_BYTES: Final = 4 * 1024 * 1024

MAKER: Final = "datacollect"
"""Who is named as the maker of events that stand for what no event of that server explains."""

_MADE_UP_NAMES: Final = frozenset({"Unnamed Individual", "Unnamed Group", "Unnamed Record", "Unnamed Entity"})


@dataclass(frozen=True, slots=True)
class OtherEntity:
    """An entity as the other server shows it."""

    guid: str
    type: str
    version: int
    data: Mapping[str, Any]
    member_ids: tuple[str, ...]
    updated: str


@dataclass(slots=True)
class Span:
    """Entities of the other server by guid, and between which guids there are no others of it: (after, up_to]."""

    after: str
    up_to: str | None
    entities: dict[str, OtherEntity] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)

    @property
    def guids(self) -> list[str]:
        """Those that can be read."""
        return list(self.entities)


async def spans_of(source: Source, tenant: str) -> AsyncIterator[Span]:
    """All entities of the tenant in spans that leave no guid out; the last one is open to the end."""
    after = ""
    rows = other.entities_of(source.db, tenant)
    async for batch in in_batches(rows, BATCH, _BATCH_BYTES, "modified"):
        span = Span(after, batch[-1]["guid"])
        for row in batch:
            _take_in(span, row)
        yield span
        after = batch[-1]["guid"]
    yield Span(after, None)


def _take_in(span: Span, row: Row) -> None:
    guid = row["guid"]
    try:
        shown = read_value(row["modified"] or "null")
    except ValueError as fault:
        span.unreadable[guid] = str(fault)
        return
    if not isinstance(shown, dict):
        span.unreadable[guid] = "there is nothing in it"
        return
    data = shown.get("data")
    version, members = shown.get("version"), shown.get("memberIds")
    span.entities[guid] = OtherEntity(
        guid=guid,
        type=GROUP if shown.get("type") == GROUP else "individual",
        version=version if isinstance(version, int) else 0,
        data=_fields(shown, data if isinstance(data, dict) else {}),
        member_ids=tuple(str(each) for each in members) if isinstance(members, list) else (),
        updated=_time(shown.get("lastUpdated")) or _time(row["updated"]) or iso_ms(EPOCH),
    )


def _fields(shown: Mapping[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """The data, with a name and an external id that stand only beside it."""
    beside = {key: shown[key] for key in ("name", "externalId") if shown.get(key) and key not in data}
    kept = {key: value for key, value in data.items() if key != "members" or shown.get("type") != GROUP}
    return {**beside, **kept}


def _time(value: Any) -> str:
    try:
        return iso_ms(parse_iso(value)) if isinstance(value, str) else ""
    except ValueError:
        return ""


# What no event explains


def creation(tenant: str, entity: OtherEntity) -> dict[str, Any]:
    """The event, in the form of the wire, that makes an entity of which no event tells how it came to be."""
    return {
        "guid": derived("entity", tenant, entity.guid),
        "entityGuid": entity.guid,
        "type": "create-group" if entity.type == GROUP else "create-individual",
        "data": dict(entity.data) or {"name": entity.guid},
        "timestamp": entity.updated,
        "userId": MAKER,
    }


def membership(tenant: str, group: OtherEntity, member: str, *, is_group: bool) -> dict[str, Any]:
    """The event that puts a member into a group that `creation` made. The entry holds no fields of the member."""
    return {
        "guid": derived("membership", tenant, group.guid, member),
        "entityGuid": group.guid,
        "type": "add-member",
        "data": {"members": [{"guid": member, "type": GROUP} if is_group else {"guid": member}]},
        "timestamp": group.updated,
        "userId": MAKER,
    }


def completion(tenant: str, entity: OtherEntity, here: Row, keys: set[tuple[str, str]]) -> dict[str, Any] | None:
    """The event that adds the fields which no event ever wrote. `keys` as in `list_keys_in_events`."""
    known = read_value(here["data"])
    unexplained = {
        key: value
        for key, value in entity.data.items()
        if key not in known and (entity.guid, key) not in keys and not _is_made_up(key, value)
    }
    if not unexplained:
        return None
    return {
        "guid": derived("fields", tenant, entity.guid, *sorted(unexplained)),
        "entityGuid": entity.guid,
        "type": "update-group" if here["type"] == GROUP else "update-individual",
        "data": unexplained,
        "timestamp": entity.updated,
        "userId": MAKER,
    }


def lacks_fields(entity: OtherEntity, here: Row) -> bool:
    """Whether it has a field there that it has not here."""
    known = read_value(here["data"])
    return any(key not in known and not _is_made_up(key, value) for key, value in entity.data.items())


def _is_made_up(key: str, value: Any) -> bool:
    return key == "name" and value in _MADE_UP_NAMES


# What differs


@dataclass(frozen=True, slots=True)
class Grounds:
    """By which a difference is explained: entities about which an event was refused, and those changed here since."""

    refused: frozenset[str]
    changed_here: frozenset[str]


def differing(span: Span, here: Mapping[str, Row], seeds: Set[str]) -> set[str]:
    """The guids of what is not the same on both sides; `here` holds all entities of the span's guids.

    That records of `seeds` are here alone is no difference: the config says that they be.
    """
    live = {guid for guid, row in here.items() if row["state"] == LIVE}
    only_here = live - span.entities.keys() - seeds
    found = {guid for guid, entity in span.entities.items() if _differs(entity, here.get(guid))}
    return found | (only_here - span.unreadable.keys())


def _differs(entity: OtherEntity, here: Row | None) -> bool:
    return here is None or here["state"] != LIVE or any(_places(entity, here))


def _places(entity: OtherEntity, here: Row) -> Iterator[str]:
    """Where the two differ, as paths."""
    data = read_value(here["data"])
    if entity.type != here["type"]:
        yield "type"
    for key in sorted(entity.data.keys() | data.keys()):
        if not _agree(entity.data, data, key):
            yield f"data.{key}"
    if set(entity.member_ids) != set(here["member_ids"]):
        yield "memberIds"


def _agree(there: Mapping[str, Any], here: Mapping[str, Any], key: str) -> bool:
    if key not in here:
        return _is_made_up(key, there[key])
    return key in there and canonical_json(there[key]) == canonical_json(here[key])


def differences(
    tenant: str, span: Span, here: Mapping[str, Row], guids: Sequence[str], grounds: Grounds
) -> Iterator[Finding]:
    """A finding for each of the differing guids, and for what could not be read."""
    for guid, fault in span.unreadable.items():
        yield Finding(Heading.REFUSED, UNREADABLE, tenant, "entities", guid, "modified", fault)
    for guid in sorted(guids):
        entity, row = span.entities.get(guid), here.get(guid)
        places = list(_places(entity, row)) if entity and row and row["state"] == LIVE else []
        yield Finding(
            Heading.DIFFERS,
            _reason(entity, row, guid, grounds, places),
            tenant,
            "entities",
            guid,
            ", ".join(places),
        )


def _reason(entity: OtherEntity | None, row: Row | None, guid: str, grounds: Grounds, places: Sequence[str]) -> str:
    if guid in grounds.changed_here:
        return CHANGED_HERE
    if guid in grounds.refused:
        return REFUSED_EVENT
    if row is None:
        return NOT_MADE
    if entity is None:
        return LOST_THERE
    if row["state"] == DELETED:
        return DELETED_HERE
    if places == ["memberIds"]:
        return OTHER_MEMBERS
    return NOT_APPLIED if row["version"] > entity.version else OTHER_ORDER
