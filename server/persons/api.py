"""The handlers that tell what is held about a person, and that erase her."""

from typing import Final

from server.audit import author_of, record
from server.db import Connection
from server.db.scope import seeing_everything
from server.kit.call import Call, Streamed
from server.kit.problem import FieldError, ProblemKind
from server.persons.erasure import Order, erase, record_erasure
from server.persons.export import Export
from server.persons.model import ErasureAnswer, ErasureOrder, ErasurePreview
from server.persons.preview import Known, is_spoken_of, look_up, preview
from server.sync.push import Follow

UNKNOWN_PERSON = ProblemKind("persons.unknown", 404, "Nothing is known under this guid.")
NOT_CONFIRMED = ProblemKind("persons.not-confirmed", 422, "Nothing brings back who was erased: confirm the guid.")
HAS_MEMBERS = ProblemKind(
    "persons.has-members", 409, "The group has members, who would be deleted with it: take them out, or erase them."
)

PATH: Final = "/api/persons"
EXPORTED: Final = "person.exported"


async def preview_erasure(call: Call) -> ErasurePreview:
    """What an erasure would meet. Raises persons.unknown."""
    guid = call.path["guid"]
    return await preview(call.db, call.tenant, guid, await known_person(call.db, guid))


async def erase_person(call: Call, *, follow: Follow) -> ErasureAnswer | ErasurePreview:
    """Takes everything that is held about a person away for good; with dryRun, says what that would meet.

    Once more is harmless, and empties what has turned up since. Raises persons.unknown, persons.not-confirmed,
    persons.has-members.
    """
    guid = call.path["guid"]
    order: ErasureOrder = call.body
    known = await known_person(call.db, guid)
    if call.query.dryRun:
        return await preview(call.db, call.tenant, guid, known)
    if order.confirm != guid:
        raise NOT_CONFIRMED(errors=[FieldError("confirm", "has to be the guid")])
    wanted = Order(call.tenant, [guid], order.reason, author_of(call), call.at, follow)
    async with seeing_everything(call.db, call.sight):
        erased = await erase(call.db, wanted)
    if erased.passed_over:
        raise HAS_MEMBERS()
    await record_erasure(call.db, wanted, erased)
    past = (await look_up(call.db, guid)).erasure
    assert past is not None
    return ErasureAnswer(guid=guid, erased=past, emptied=dict(+erased.counts))


async def export_person(call: Call) -> Streamed:
    """All that is held about a person. Is put on both records first. Raises persons.unknown."""
    guid = call.path["guid"]
    async with call.writing() as db:
        await known_person(db, guid)
        await record(db, author_of(call), EXPORTED, f"person:{guid}", tenant=call.tenant)
    export = Export(call.tenant, guid, call.at, call.reading)
    headers = {"Content-Disposition": 'attachment; filename="person.json"', "Cache-Control": "no-store"}
    return Streamed(export.pieces(), media_type="application/json", headers=headers)


async def known_person(db: Connection, guid: str) -> Known:
    """What is known of the guid in the transaction, which may not see all there is. Raises persons.unknown."""
    if "\0" in guid:
        raise UNKNOWN_PERSON()
    known = await look_up(db, guid)
    if known.entity is None and known.erasure is None and not await is_spoken_of(db, guid):
        raise UNKNOWN_PERSON()
    return known
