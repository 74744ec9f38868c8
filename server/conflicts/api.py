"""The handlers that list conflicts, settle them, and tell how an entity came to be what it is."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import uuid4

import orjson

from server.audit import author_of, record_inside
from server.conflicts import queries
from server.conflicts.history import Page
from server.conflicts.model import Choice, ConflictsQuery, HistoryQuery
from server.conflicts.queries import CHOSEN, GONE, MOST_BYTES, OPEN, Filters
from server.conflicts.writes import differ, turn, written_by
from server.db import Connection
from server.db.connection import Row
from server.db.scope import seeing_everything
from server.entities.api import UNKNOWN_ENTITY
from server.entities.paging import MOST_COUNTED, cursor, page_answer, place_in, total_of
from server.kit.call import Answer, Call
from server.kit.clock import from_ms, iso_ms, to_ms
from server.kit.numbers import whole_number
from server.kit.problem import FieldError, ProblemKind
from server.sync.event import UPDATE_GROUP, UPDATE_INDIVIDUAL, Event
from server.sync.fold import GROUP, Birth
from server.sync.intake import read_event
from server.sync.push import Follow, Source, push
from server.sync.queries import list_entities
from server.sync.records import entity_from, event_from
from server.sync.seeding import OWN_DEVICE

UNKNOWN_CONFLICT = ProblemKind("conflicts.unknown", 404, "There is no conflict with this number.")
SETTLED = ProblemKind("conflicts.settled", 409, "The conflict has been settled already, and otherwise.")
ENTITY_DELETED = ProblemKind("conflicts.entity-deleted", 409, "The record that the conflict is about was deleted.")
FORM_NOT_ALLOWED = ProblemKind(
    "conflicts.form-not-allowed", 403, "It would become a record of a form that is not yours."
)
NOT_ITS_EVENT = ProblemKind("conflicts.not-its-event", 422, "The event is none of the two that are in conflict.")

PATH: Final = "/api/conflicts"
_ROWS: Final = 100
_GREATEST_ID: Final = 2**53

Json = dict[str, Any]


async def list_conflicts(call: Call) -> Answer:
    """A page of conflicts as a bare list; Link leads to the next, X-Total-Count says how many there are.

    A page may hold fewer than asked for, where the records are large, and still lead on.
    """
    query: ConflictsQuery = call.query
    filters = Filters(query.state, query.entity, query.form)
    place = place_in(query.after, (int,))
    limit = query.rows(_ROWS)
    before = _GREATEST_ID if place is None else place[0]
    found = await queries.list_conflicts(call.db, filters, before, limit + 1)
    rows = [row for index, row in enumerate(found[:limit]) if index == 0 or row["bytes"] <= MOST_BYTES]
    return page_answer(
        await _told(call.db, rows),
        path=PATH,
        query=query,
        after=cursor(rows[-1]["id"]) if len(found) > len(rows) else None,
        total=total_of(await queries.count_conflicts(call.db, filters, MOST_COUNTED + 1)),
    )


async def choose_value(call: Call, *, follow: Follow) -> Json:
    """Makes the chosen value stand by an event that every device gets, and settles the conflict.

    Choosing the same value again changes nothing and is answered the same. Raises conflicts.unknown, conflicts.settled,
    conflicts.entity-deleted, conflicts.not-its-event, conflicts.form-not-allowed.
    """
    choice: Choice = call.body
    row = await _find(call.db, call.path["conflict"])
    if row["state"] == GONE:
        raise ENTITY_DELETED()
    value = await _chosen_value(call.db, row, choice)
    was_open = row["state"] == OPEN
    if was_open:
        async with seeing_everything(call.db, call.sight):
            await _make_stand(call, row, value, follow)
        row = await _find(call.db, call.path["conflict"])
    if row["state"] != CHOSEN or differ(value, await _value_of(call.db, row)):
        raise SETTLED()
    [told] = await _told(call.db, [row])
    if was_open:
        # Not the value, which is the person's: the event holds it.
        details = {"entity": row["entity_guid"], "field": row["field"], "event": row["settled_with"]}
        await record_inside(call.db, author_of(call), "conflict.settled", f"conflict:{row['id']}", details=details)
    return told


async def show_history(call: Call) -> Json:
    """What happened to an entity, field by field, also what was without effect and why. Raises entities.unknown."""
    query: HistoryQuery = call.query
    guid = call.path["guid"]
    place = place_in(query.after, (int, int, int, str))
    known = [] if "\0" in guid else await list_entities(call.db, [guid])
    if not known:
        raise UNKNOWN_ENTITY()
    entity = entity_from(known[0])
    rows = await queries.list_history(call.db, guid, place, query.limit + 1)
    page = Page.of(rows[: query.limit], entity)
    last = page.last
    more = last is not None and rows[0]["remaining"] > [row["seq"] for row in rows].index(last["seq"]) + 1
    later: set[str] = set()
    if more and last is not None:
        later = await queries.list_written_after(call.db, guid, _place(last), list(page.writes))
    return {
        "guid": guid,
        "fields": page.fields(entity, later, await _conflicts_of(call.db, guid, page.events)),
        "memberships": page.memberships,
        "deletions": page.deletions,
        "more": more,
        "after": cursor(*_place(last)) if more and last is not None else None,
    }


# Choosing


async def _find(db: Connection, given: str) -> Row:
    number = whole_number(given, _GREATEST_ID)
    row = None if number is None else await queries.find_conflict(db, number)
    if row is None:
        raise UNKNOWN_CONFLICT()
    return row


async def _chosen_value(db: Connection, row: Row, choice: Choice) -> Any:
    if choice.event is None:
        return choice.value
    for event in await queries.list_events(db, [row["event_seq"], row["other_seq"]]):
        if event["guid"] == choice.event:
            return _written(event_from(event), row)
    raise NOT_ITS_EVENT(errors=[FieldError("event", "is none of the two")])


async def _value_of(db: Connection, row: Row) -> Any:
    """The value with which the conflict was settled."""
    event = await queries.find_event(db, row["settled_with"])
    assert event is not None
    return _written(event_from(event), row)


async def _make_stand(call: Call, row: Row, value: Any, follow: Follow) -> None:
    """Pushes an update that stands over everything that the entity has gone through, clocks that are ahead included.

    Nothing of it stays where somebody else has settled the conflict meanwhile.
    """
    event = _update(row, value, at_ms=max(to_ms(call.at), _newest_ms(row) + 1), account=call.caller.account)
    if not call.sight.hidden.isdisjoint(form for _, form, _ in event.forms):
        raise FORM_NOT_ALLOWED()
    source = Source(call.caller.account, OWN_DEVICE, call.at)
    # In the order in which pushes lock: first entities, then conflicts. The follower would settle what is open still.
    await queries.set_savepoint(call.db)
    pushed = await push(call.db, [event], source)
    if await queries.settle(call.db, [(row["id"], CHOSEN, event.guid)], at=call.at, by=call.caller.account):
        await follow(call.db, pushed, source)
    else:
        await queries.return_to_savepoint(call.db)


def _update(row: Row, value: Any, *, at_ms: int, account: str) -> Event:
    event = read_event(
        {
            "guid": str(uuid4()),
            "entityGuid": row["entity_guid"],
            "type": UPDATE_GROUP if row["type"] == GROUP else UPDATE_INDIVIDUAL,
            "data": {row["field"]: value},
            "timestamp": iso_ms(from_ms(at_ms)),
            "userId": account,
        },
        arrival_ms=at_ms,
        tolerance=timedelta(),
    )
    assert isinstance(event, Event), event
    event.base_seq = row["fed_seq"]
    return event


def _newest_ms(row: Row) -> int:
    newest: list[Any] = orjson.loads(row["newest"])
    return int(newest[0])


# Telling


async def _told(db: Connection, rows: Sequence[Row]) -> list[Json]:
    seqs = {seq for row in rows for seq in (row["event_seq"], row["other_seq"])}
    events = {event["seq"]: event for event in (await queries.list_events(db, sorted(seqs)) if rows else ())}
    return [_conflict(row, events) for row in rows]


def _conflict(row: Row, events: Mapping[int, Row]) -> Json:
    born = _birth(row["born"])
    pair = [(event_from(each), each) for each in (events[row["event_seq"]], events[row["other_seq"]])]
    other, standing = sorted(pair, key=lambda side: turn(side[0].place, deaths=row["deaths"], born=born))
    return {
        "id": row["id"],
        "entityGuid": row["entity_guid"],
        "entityName": row["name"],
        "form": row["form"],
        "field": row["field"],
        "foundAt": iso_ms(row["found_at"]),
        "state": row["state"],
        "standing": _side(*standing, row),
        "other": _side(*other, row),
        "current": None if row["current"] is None else orjson.Fragment(row["current"]),
        "settledAt": None if row["settled_at"] is None else iso_ms(row["settled_at"]),
        "settledBy": row["settled_by"],
        "settledWith": row["settled_with"],
    }


def _side(event: Event, row: Row, conflict: Row) -> Json:
    return {
        "value": _written(event, conflict),
        "event": event.guid,
        "at": event.timestamp,
        "receivedAt": iso_ms(row["received_at"]),
        "account": row["account"],
        "deviceId": row["device_id"],
        "userId": event.user_id,
    }


def _written(event: Event, conflict: Row) -> Any:
    """What the event wrote into the field that the conflict is about."""
    guid = conflict["entity_guid"]
    return written_by(event, {guid: conflict["type"]}).get(guid, {}).get(conflict["field"])


# Histories


async def _conflicts_of(db: Connection, guid: str, events: Sequence[str]) -> dict[tuple[str, str], int]:
    """By event and field, the number of a conflict: of several, the open one or else the newest."""
    rows = await queries.list_conflicts_of(db, guid, events)
    return {(row[side], row["field"]): row["id"] for row in rows for side in ("event_guid", "other_guid")}


def _birth(text: str | None) -> Birth | None:
    if text is None:
        return None
    effective_ms, timestamp_ms, rank, guid, number = orjson.loads(text)
    return effective_ms, timestamp_ms, rank, guid, number


def _place(row: Row) -> tuple[int, int, int, str]:
    return row["effective_ms"], row["timestamp_ms"], row["rank"], row["guid"]
