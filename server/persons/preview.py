"""What an erasure would meet. Changes nothing."""

from dataclasses import dataclass

from server.db import Connection, scoped
from server.db.connection import Row
from server.kit.clock import iso_ms
from server.persons import queries, traces
from server.persons.model import ErasurePreview, NamedEntity, PastErasure
from server.persons.traces import Sought
from server.tenants.model import Tenant


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a guid: its entity, if there ever was one, and whether it was erased."""

    entity: Row | None
    erasure: PastErasure | None


async def look_up(db: Connection, guid: str) -> Known:
    """What is known of the guid."""
    erasures = await queries.list_erasures(db, [guid])
    return Known(await queries.find_entity(db, guid), past_erasure(erasures[0]) if erasures else None)


async def is_spoken_of(db: Connection, guid: str) -> bool:
    """Whether anything that no event tells speaks of the guid: the quarantine, or the devices' audit log."""
    sought = Sought([guid])
    async for rows in traces.quarantined(db, sought):
        if rows:
            return True
    async for rows in traces.audited(db, sought):
        if rows:
            return True
    return False


def past_erasure(row: Row) -> PastErasure:
    """An erasure as it is told."""
    return PastErasure(at=iso_ms(row["at"]), by=row["by"], reason=row["reason"])


async def preview(db: Connection, tenant: Tenant, guid: str, known: Known) -> ErasurePreview:
    """What an erasure would meet. In the tenant's scope."""
    sought = Sought([guid])
    entity = known.entity
    standing = await queries.list_standing(db, [guid])
    groups = await queries.list_groups_of_events(db, guid)
    return ErasurePreview(
        guid=guid,
        state=entity["state"] if entity else "missing",
        type=entity["type"] if entity else "individual",
        form=entity["form"] if entity else "",
        members=standing[0]["members"] if standing else 0,
        erased=known.erasure,
        groups=[NamedEntity(guid=row["guid"], type=row["type"], name=row["name"]) for row in groups],
        found=await _found(db, tenant, sought),
    )


async def _found(db: Connection, tenant: Tenant, sought: Sought) -> dict[str, int]:
    rows = await queries.count_rows(db, sought.persons)
    any_seeded = bool(await traces.seeded(db, sought))
    found = {
        "events": len(await traces.events_of(db, sought)),
        "quarantine": sum([len(piece) async for piece in traces.quarantined(db, sought)]),
        "deviceAudit": sum([len(piece) async for piece in traces.audited(db, sought)]),
        "conflicts": rows["conflicts"],
        "duplicates": rows["duplicates"],
        "duplicateKeys": rows["duplicate_keys"],
        "externalIds": rows["external_ids"],
    }
    async with scoped(db, None):
        found["configs"] = len(await traces.configs(db, sought, tenant.id, any_seeded=any_seeded))
    return found
