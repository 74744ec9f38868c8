"""Finding pairs: the keys of what has changed are put in place of their old ones, and whoever shares one is paired.

It runs behind the log. Each step takes the entities that changed since the step before, whatever pushes brought the
changes, so that no push waits for it. Steps take turns on one row: of two records that come at the same time, the step
of the later one sees the keys of the earlier.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import orjson

from server.db import Connection
from server.db.connection import Row
from server.duplicates import queries
from server.duplicates.rules import Key, Rule, keys_of, rules_from
from server.sync.event import RESOLVE_DUPLICATE
from server.sync.fold import LIVE
from server.sync.push import Pushed
from server.sync.queries import find_setting, get_head, list_events_of_types
from server.sync.records import event_from
from server.sync.seeding import load_events

T = TypeVar("T")

MOST_STEPS = 20
"""So many steps somebody who waits for the pairs takes at most."""

_STEP = 1_000
_AT_A_TIME = 100
"""After so many records others have their turn."""

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class _Settlement:
    """A pair that an event settles."""

    entity_guid: str
    duplicate_guid: str
    state: str
    account: str
    at: datetime


async def catch_up(db: Connection, at: datetime, *, most_steps: int = MOST_STEPS) -> bool:
    """Takes steps until pairs have been looked for among all that the log has brought; whether it came that far.

    Where nothing is left nobody is waited for. Otherwise the progress stays locked until the transaction ends.
    """
    if await queries.is_through(db):
        return True
    for _ in range(most_steps):
        if await take_step(db, at, await queries.lock_progress(db)):
            return True
    return False


async def catch_up_aside(db: Connection, at: datetime) -> bool:
    """Takes one step, or none while somebody else takes one; whether nothing is left to do."""
    if await queries.is_through(db):
        return True
    done = await queries.lock_progress_if_free(db)
    return done is not None and await take_step(db, at, done)


async def take_step(db: Connection, at: datetime, done: int) -> bool:
    """Looks for pairs among what came after the number `done`; whether that was all there is.

    Settles the pairs that events name, then opens and closes pairs of the entities that changed. A settled pair is
    never opened again. The progress has to be locked.
    """
    head = (await get_head(db))["head"]
    if done >= head:
        return True
    rows = await queries.list_changed(db, done, head, _STEP)
    up_to = rows[-1]["fed_seq"] if len(rows) >= _STEP else head
    await _settle(db, await list_events_of_types(db, [RESOLVE_DUPLICATE], done, up_to))
    await _pair(db, rows, at)
    await queries.set_progress(db, up_to)
    return bool(up_to == head)


async def _pair(db: Connection, rows: Sequence[Row], at: datetime) -> None:
    """In parts: one event may have touched more entities than a statement gets through in its time."""
    rules = rules_from(await find_setting(db, "duplicates"))
    keyed: list[str] = []
    # Without rules there are no keys: those by former rules went when the rules changed.
    for some in _parted(rows) if rules else ():
        keyed += await _replace_keys(db, some, rules)
    for guids in _parted(keyed):
        await queries.open_pairs(db, guids, at)
    for guids in _parted([row["guid"] for row in rows]):
        await queries.close_pairs(db, guids)


def _parted(items: Sequence[T]) -> Iterator[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))


async def _replace_keys(db: Connection, rows: Iterable[Row], rules: Sequence[Rule]) -> list[str]:
    """Puts the entities' keys in place of their old ones; the guids of those that have any."""
    keys: dict[str, set[Key]] = {}
    for number, row in enumerate(rows):
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
        keys[row["guid"]] = _keys(row, rules) if row["state"] == LIVE else set()
    new = [(guid, key.value, key.rule) for guid, own in keys.items() for key in own]
    await queries.replace_keys(
        db, list(keys), [each[0] for each in new], [each[1] for each in new], [each[2] for each in new]
    )
    return [guid for guid, own in keys.items() if own]


def _keys(row: Row, rules: Sequence[Rule]) -> set[Key]:
    return keys_of(row["entity_name"] or row["type"], row["name"], orjson.loads(row["data"]), rules)


async def load_and_find_pairs(
    db: Connection, events: Sequence[dict[str, Any]], *, account: str, at: datetime, rules_changed: bool = False
) -> Pushed:
    """Looks for pairs, by new rules among all there is; pushes events that the server itself makes, and looks again.

    The progress is locked before the push locks anything: a pull that has it locked may wait for a push of its device.
    What was left is looked through before, because a push holds up all others from when it is written.
    """
    await queries.lock_progress(db)
    if rules_changed:
        await rescan(db, at)
    else:
        await catch_up(db, at)
    pushed = await load_events(db, events, account=account, at=at)
    await catch_up(db, at)
    return pushed


async def rescan(db: Connection, at: datetime) -> None:
    """Gives every live entity its keys and pairs anew, as is needed after the rules have changed.

    Nobody else looks for pairs meanwhile, while pushes go on: what they bring is left to the next step. Pairs found now
    are found at `at`; those that match no longer are closed, and those that events have settled meanwhile stay settled.
    """
    done = await queries.lock_progress(db)
    head = (await get_head(db))["head"]
    await _settle(db, await list_events_of_types(db, [RESOLVE_DUPLICATE], done, head))
    rules = rules_from(await find_setting(db, "duplicates"))
    await queries.delete_stray_keys(db)
    last = ""
    while rows := await queries.list_live_after(db, last, _BATCH):
        last = rows[-1]["guid"]
        await _replace_keys(db, rows, rules)
    last = ""
    while guids := await queries.list_guids_with_keys_after(db, last, _BATCH):
        last = guids[-1]
        await queries.open_pairs(db, guids, at)
    await queries.close_all_pairs(db)
    await queries.set_progress(db, head)


async def _settle(db: Connection, rows: Sequence[Row]) -> None:
    settled = _settlements(rows)
    if settled:
        await queries.settle_pairs(
            db,
            [each.entity_guid for each in settled],
            [each.duplicate_guid for each in settled],
            [each.state for each in settled],
            [each.account for each in settled],
            [each.at for each in settled],
        )


def _settlements(rows: Iterable[Row]) -> list[_Settlement]:
    """Each pair once, whichever way round it is named. That one of the two is deleted outweighs that both are kept."""
    settled: dict[frozenset[str], _Settlement] = {}
    for row in rows:
        event = event_from(row)
        for one, other in event.pairs:
            pair = frozenset((one, other))
            if len(pair) == 2 and (pair not in settled or settled[pair].state == queries.KEPT):
                state = queries.DELETED if event.deletes and event.entity_guid in pair else queries.KEPT
                settled[pair] = _Settlement(one, other, state, row["account"], row["received_at"])
    return list(settled.values())
