"""The handlers that list open pairs and settle them."""

from typing import Any, Final
from uuid import uuid4

from server.audit import author_of, record_inside
from server.db import Connection
from server.db.connection import Row
from server.db.scope import seeing_everything
from server.duplicates import queries
from server.duplicates.finding import catch_up, load_and_find_pairs
from server.duplicates.model import PairsQuery, Resolution, Resolved
from server.entities.paging import MOST_COUNTED, cursor, page_answer, place_in, total_of
from server.kit.call import Answer, Call
from server.kit.clock import iso_ms
from server.kit.problem import FieldError, ProblemKind
from server.kit.sight import Sight
from server.sync.event import RESOLVE_DUPLICATE
from server.sync.queries import list_of_forms

UNKNOWN_PAIR = ProblemKind("duplicates.unknown", 404, "There are no such entities.")
NOTHING_LEFT = ProblemKind(
    "duplicates.nothing-left", 409, "The record that was to be kept is deleted already: deleting this one leaves none."
)
HIDDEN_BELOW = ProblemKind(
    "duplicates.form-not-allowed", 403, "Records that are not yours to change would be deleted with this one."
)
SAME_ENTITY = ProblemKind("duplicates.same", 422, "An entity is no duplicate of itself.")

PATH: Final = "/api/potential-duplicates"
_ROWS: Final = 1000
_ENDS: Final = {"desc": 2**63 - 1, "asc": 0}


async def list_open_pairs(call: Call) -> Answer:
    """A page of the open pairs as a bare list; Link leads to the next, X-Total-Count says how many there are.

    Pairs that the latest pushes made are among them.
    """
    async with seeing_everything(call.db, call.sight):
        await catch_up(call.db, call.at)
    query: PairsQuery = call.query
    place = place_in(query.after, (int,))
    limit = query.rows(_ROWS)
    start = _ENDS[query.order] if place is None else place[0]
    found = await queries.list_open_pairs(call.db, query.order, start, query.skipped(_ROWS), limit + 1)
    rows = found[:limit]
    return page_answer(
        [_pair(row, with_detail=query.detail) for row in rows],
        path=PATH,
        query=query,
        after=cursor(rows[-1]["id"]) if len(found) > limit else None,
        total=total_of(await queries.count_open_pairs(call.db, MOST_COUNTED + 1)),
    )


async def resolve_pair(call: Call) -> Resolved:
    """Settles a pair by an event that every device gets. Settling it again changes nothing.

    Raises duplicates.unknown when neither entity is known, or the one to be deleted is not; duplicates.same; and
    duplicates.form-not-allowed where records that are hidden from the caller would be deleted, too.
    """
    wanted: Resolution = call.body
    # Of two that delete one of a pair each, the second finds that the other record is gone.
    await queries.lock_progress(call.db)
    await _check(call.db, wanted)
    event = {
        "guid": str(uuid4()),
        "entityGuid": wanted.new_guid,
        "type": RESOLVE_DUPLICATE,
        "data": {
            "duplicates": [{"entityGuid": wanted.new_guid, "duplicateGuid": wanted.existing_guid}],
            "shouldDelete": wanted.shouldDeleteNewItem,
        },
        "timestamp": iso_ms(call.at),
        "userId": call.caller.account,
    }
    async with seeing_everything(call.db, call.sight):
        if wanted.shouldDeleteNewItem and await _has_hidden_below(call.db, wanted.new_guid, call.sight):
            raise HIDDEN_BELOW()
        await load_and_find_pairs(call.db, [event], account=call.caller.account, at=call.at)
    subject = f"pair:{wanted.new_guid}:{wanted.existing_guid}"
    details = {"event": event["guid"], "deleted": wanted.shouldDeleteNewItem}
    await record_inside(call.db, author_of(call), "duplicate.resolved", subject, details=details)
    return Resolved()


async def _check(db: Connection, wanted: Resolution) -> None:
    new, existing = wanted.new_guid, wanted.existing_guid
    if new == existing:
        raise SAME_ENTITY(errors=[FieldError("existingItem", "is the same as newItem")])
    states = await queries.states_of(db, [new, existing])
    if unknown := [key for key, guid in (("newItem", new), ("existingItem", existing)) if guid not in states]:
        raise UNKNOWN_PAIR(errors=[FieldError(key, "is no record") for key in unknown])
    if wanted.shouldDeleteNewItem and states[new] == "live" and states[existing] != "live":
        raise NOTHING_LEFT(errors=[FieldError("existingItem", "is deleted")])


async def _has_hidden_below(db: Connection, guid: str, sight: Sight) -> bool:
    return bool(sight.hidden) and any((await list_of_forms(db, [guid], sorted(sight.hidden))).values())


def _pair(row: Row, *, with_detail: bool) -> dict[str, Any]:
    pair = {"entityGuid": row["entity_guid"], "duplicateGuid": row["duplicate_guid"]}
    if with_detail:
        pair |= {
            "rule": row["rule"],
            "foundAt": iso_ms(row["found_at"]),
            "name": row["name"],
            "duplicateName": row["duplicate_name"],
        }
    return pair
