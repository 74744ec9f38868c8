"""What goes over with a log and is none of its events: seed data, pairs of duplicates, the audit log of devices."""

from asyncio import to_thread
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import orjson

from server.db import Connection
from server.duplicates.finding import catch_up
from server.duplicates.queries import FOUND_BEFORE
from server.kit.clock import parse_iso, utc_now
from server.moving_in import queries
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.accounts import Taken
from server.moving_in.datacollect.events import push_own, tell_of_refused
from server.moving_in.datacollect.mapping import entry_from_row
from server.moving_in.datacollect.one_tenant import BATCH, BATCH_BYTES, DEVICE, NO_LIMIT, OneTenant
from server.moving_in.datacollect.reading import in_batches
from server.moving_in.datacollect.reasons import BAD_ENTRY, SEED_LOADED, UNKNOWN_PAIR
from server.moving_in.datacollect.report import Heading, counted
from server.moving_in.datacollect.seeds import records_of_seeds, seeds_to_push
from server.moving_in.datacollect.unexplained import live_types
from server.sync.audit_log import entry_without
from server.sync.erasing import erased_among
from server.sync.intake import Refusal
from server.sync.quarantine import keep
from server.tenants.versioning import stored_document, under_id


async def take_seeds(one: OneTenant, taken: Taken) -> frozenset[str]:
    """Loads what of the config's seed data that server never loaded. Gives the guids of the records of all of it."""
    async with one.database.shared(readonly=True, patience=NO_LIMIT) as db:
        document = await stored_document(db, taken.tenant)
    if not document.get("entityData"):
        return frozenset()
    config = await to_thread(under_id, document, taken.tenant.config_id)
    one.progress.begin(one.config.id, "seed data", 0)
    async with one.reading(taken) as db:
        raws, loaded = await seeds_to_push(db, config, one.config.id)
    if loaded:
        one.note(Heading.CHANGED, SEED_LOADED, "app_configs", one.config.id, "entity_data", counted(loaded, "event"))
    await push_own(one, taken, raws, None)
    return await to_thread(records_of_seeds, config)


async def take_audit_log(one: OneTenant, taken: Taken) -> None:
    """Takes the entries that are not known here, with their own users and times."""
    one.begin("audit log", "audit_log")
    rows = other.audit_log_of(one.source.db, one.config.id)
    async for batch in in_batches(rows, BATCH, BATCH_BYTES, "changes"):
        read = [entry_from_row(row, one.config.id) for row in batch]
        tell_of_refused(one, read, BAD_ENTRY, "audit_log")
        entries = list({each.raw["guid"]: each.raw for each in read[::-1] if each.result is None}.values())[::-1]
        refused = [(each.raw, each.result) for each in read if isinstance(each.result, Refusal)]
        if not one.wishes.dry_run:
            await _insert_entries(one, taken, entries, refused)
        one.count(entries=len(entries) if one.wishes.dry_run else 0)
        one.progress.advance(len(batch))


async def _insert_entries(
    one: OneTenant, taken: Taken, entries: Sequence[dict[str, Any]], refused: Sequence[tuple[Any, Refusal]]
) -> None:
    async def work(db: Connection) -> None:
        persons = await erased_among(db, entries)
        left = [entry_without(entry, persons) for entry in entries] if persons else entries
        one.count(entries=await queries.insert_audit_log(db, _columns(left), DEVICE))
        await keep(db, refused, one.pusher())

    await one.inside(taken, work)


async def take_pairs(one: OneTenant, taken: Taken) -> None:
    """Opens the pairs that are open there, once this server has looked for pairs itself.

    Looking for them closes what this server's own rules do not find.
    """
    one.begin("duplicates", "potential_duplicates")
    if not one.wishes.dry_run:
        await _find_pairs(one, taken)
    rows = other.pairs_of(one.source.db, one.config.id)
    async for batch in in_batches(rows, BATCH, BATCH_BYTES, "entity_guid"):
        if one.wishes.dry_run:
            one.count(pairs=len(batch))
        else:
            await _open_pairs(one, taken, [(row["entity_guid"], row["duplicate_guid"]) for row in batch])
        one.progress.advance(len(batch))


async def _find_pairs(one: OneTenant, taken: Taken) -> None:
    is_through = False
    while not is_through:
        async with one.database.inside(taken.tenant.scope, patience=NO_LIMIT) as db:
            is_through = await catch_up(db, utc_now())


async def _open_pairs(one: OneTenant, taken: Taken, pairs: Sequence[tuple[str, str]]) -> None:
    types = await live_types(one, taken, sorted({guid for pair in pairs for guid in pair}))
    living = [pair for pair in pairs if pair[0] in types and pair[1] in types and pair[0] != pair[1]]
    for first, second in sorted(set(pairs) - set(living)):
        one.note(Heading.REFUSED, UNKNOWN_PAIR, "potential_duplicates", first, "duplicate_guid", second)

    async def work(db: Connection) -> None:
        ones, others = [pair[0] for pair in living], [pair[1] for pair in living]
        one.count(pairs=await queries.insert_open_pairs(db, ones, others, FOUND_BEFORE, utc_now()))

    await one.inside(taken, work)


def _columns(entries: Sequence[dict[str, Any]]) -> list[list[object]]:
    now = utc_now()
    keys = ("guid", "timestamp", "userId", "action", "eventGuid", "entityGuid")
    columns: list[list[object]] = [[entry[key] for entry in entries] for key in keys]
    columns.append([orjson.dumps(entry["changes"]).decode() for entry in entries])
    columns.append([entry["signature"] for entry in entries])
    columns.append([min(_arrival(entry["timestamp"]) or now, now) for entry in entries])
    return columns


def _arrival(timestamp: str) -> datetime | None:
    try:
        return parse_iso(timestamp)
    except ValueError:
        return None
