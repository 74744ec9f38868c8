"""The handlers that answer what entities there are and how they came to be what they are."""

from typing import Any, Final
from urllib.parse import quote

import orjson

from server.db import Connection
from server.db.connection import Row
from server.entities import queries
from server.entities.model import EntitiesQuery, EntityCount, EventsQuery
from server.entities.names import name_parts
from server.entities.paging import MOST_COUNTED, Total, bad_cursor, cursor, page_answer, place_in, total_of
from server.entities.queries import Filters, Window
from server.kit.call import Answer, Call
from server.kit.clock import from_ms, iso_ms, parse_iso, to_ms
from server.kit.problem import ProblemKind

UNKNOWN_ENTITY = ProblemKind("entities.unknown", 404, "There is no entity with this guid.")

PATH: Final = "/api/entities"
_ROWS: Final = 100
_EVENTS: Final = 1000
_SYNC_LEVEL: Final = 1
_DEFAULT_ORDERS: Final = {"lastUpdated": "desc", "name": "asc"}
_SORTED_BY: Final = {"lastUpdated": "updated_ms", "name": "sorted_name"}


async def list_entities(call: Call) -> Answer:
    """A page of the live entities as a bare list; Link leads to the next, X-Total-Count says how many there are.

    A filtered total is counted up to a bound: X-Total-Count-Relation is `gte` where there are more, else `eq`.
    """
    query: EntitiesQuery = call.query
    filters = _filters(query)
    window = _window(query)
    found = await queries.list_entities(call.db, filters, window)
    rows = found[: window.limit - 1]
    after = None
    if len(found) == window.limit:
        after = cursor(window.order, rows[-1][_SORTED_BY[query.sort]], rows[-1]["guid"])
    total = await _total(call.db, filters)
    return page_answer([_summary(row) for row in rows], path=PATH, query=query, after=after, total=total)


async def count_entities(call: Call) -> EntityCount:
    """How many live entities there are."""
    return EntityCount(count=sum((await queries.list_counts(call.db)).values()))


async def count_entities_by_form(call: Call) -> dict[str, int]:
    """How many live entities there are of each form; those without one count under their type."""
    return await queries.list_counts(call.db)


async def get_entity(call: Call) -> dict[str, Any]:
    """One entity. Raises entities.unknown, also for a deleted one unless the query asks for it."""
    row = await queries.find_entity(call.db, _guid(call))
    if row is None or (row["state"] == "deleted" and not call.query.deleted):
        raise UNKNOWN_ENTITY()
    return {
        **_entity(row),
        "memberIds": row["member_ids"],
        "parentIds": row["parent_ids"],
        "externalId": row["external_id"],
        "state": row["state"],
    }


async def list_entity_events(call: Call) -> Answer:
    """Every event that speaks of the entity, as pushed, the oldest first. Raises entities.unknown."""
    query: EventsQuery = call.query
    guid = _guid(call)
    rows = query.rows(_EVENTS)
    place = place_in(query.after, (int, int, int, str))
    found = await queries.list_events_of(call.db, guid, place, query.skipped(_EVENTS), rows + 1)
    if not found and not await queries.has_events(call.db, guid):
        raise UNKNOWN_ENTITY()
    events = found[:rows]
    path = f"{PATH}/{quote(guid, safe='')}/events"
    after = _place_cursor(events[-1]) if len(found) > rows else None
    return page_answer([_event(row) for row in events], path=path, query=query, after=after)


def _place_cursor(event: Row) -> str:
    return cursor(event["effective_ms"], event["timestamp_ms"], event["rank"], event["guid"])


def _guid(call: Call) -> str:
    guid = call.path["guid"]
    if "\0" in guid:
        raise UNKNOWN_ENTITY()
    return guid


def _filters(query: EntitiesQuery) -> Filters:
    return Filters(
        type=query.type,
        form=query.form,
        updated_since_ms=to_ms(parse_iso(query.updatedSince)) if query.updatedSince else None,
        search=query.search,
        name_parts=(name_parts(query.search) or None) if query.search else None,
    )


def _window(query: EntitiesQuery) -> Window:
    """One row more than asked for, to know whether there is a next page."""
    order = f"{query.sort} {query.order or _DEFAULT_ORDERS[query.sort]}"
    place = place_in(query.after, (str, int if query.sort == "lastUpdated" else str, str))
    if place is not None and place[0] != order:
        raise bad_cursor()
    return Window(
        order=order,
        limit=query.rows(_ROWS) + 1,
        offset=query.skipped(_ROWS),
        after=None if place is None else (place[1], place[2]),
    )


async def _total(db: Connection, filters: Filters) -> Total:
    if filters == Filters(form=filters.form):
        counts = await queries.list_counts(db)
        return Total(sum(counts.values()) if filters.form is None else counts.get(filters.form, 0))
    return total_of(await queries.count_filtered(db, filters, MOST_COUNTED + 1))


def _entity(row: Row) -> dict[str, Any]:
    return {
        "guid": row["guid"],
        "id": row["guid"],
        "name": row["name"],
        "entityName": row["entity_name"],
        "type": row["type"],
        "data": orjson.Fragment(row["data"]),
        "version": row["version"],
        "lastUpdated": iso_ms(from_ms(row["updated_ms"])),
    }


def _summary(row: Row) -> dict[str, Any]:
    summary = _entity(row)
    if row["type"] == "group":
        summary["memberIds"] = row["member_ids"]
    if row["external_id"] is not None:
        summary["externalId"] = row["external_id"]
    return summary


def _event(row: Row) -> dict[str, Any]:
    event = {
        "guid": row["guid"],
        "entityGuid": row["entity_guid"],
        "type": row["type"],
        "data": orjson.Fragment(row["data"]),
        "timestamp": row["timestamp"],
        "userId": row["user_id"],
        "syncLevel": _SYNC_LEVEL,
        "seq": row["seq"],
        "receivedAt": iso_ms(row["received_at"]),
        "account": row["account"],
        "deviceId": row["device_id"],
        "outcome": row["outcome"],
        "reason": row["reason"],
    }
    if row["erased"]:
        event["erased"] = True
    if row["applied"] is not None:
        event["applied"] = orjson.Fragment(row["applied"])
    return event
