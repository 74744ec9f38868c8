"""Finding pairs: the keys of what a push changed are put in place of their old ones, and whoever shares one is paired.

A push holds the head of the log until its transaction ends, and this runs within it: two pushes never look for pairs
at the same time, so neither overlooks what the other brings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from server.db import Connection
from server.duplicates import queries
from server.duplicates.rules import Key, keys_of, rules_from
from server.sync.event import Event
from server.sync.fold import LIVE
from server.sync.push import Pushed, Source
from server.sync.queries import find_setting, lock_head
from server.sync.seeding import OWN_DEVICE, load_events

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class _Settlement:
    """A pair that an event settles."""

    entity_guid: str
    duplicate_guid: str
    state: str


async def find_pairs(db: Connection, pushed: Pushed, source: Source) -> None:
    """Settles the pairs that the push's events name, then opens and closes pairs of the entities it changed.

    A settled pair is never opened again. Runs in the push's transaction.
    """
    if not pushed.entities:
        return
    rules = rules_from(await find_setting(db, "duplicates"))
    live = (entity for entity in pushed.entities.values() if entity.state == LIVE)
    keys = {each.guid: keys_of(each.entity_name or each.type, each.name, each.data, rules) for each in live}
    # An entity that has just come has neither keys nor pairs that could go.
    known = [guid for guid in pushed.entities if pushed.fed_before[guid]]
    keyed = [guid for guid, own in keys.items() if own]
    if known or keyed:
        await _replace_keys(db, known, keys)
    await _settle(db, _settlements(pushed.events), source.account, source.at)
    if keyed:
        await queries.open_pairs(db, keyed, source.at)
    if known:
        await queries.close_pairs(db, known)


async def load_and_find_pairs(
    db: Connection, events: Sequence[dict[str, Any]], *, account: str, at: datetime, rules_changed: bool = False
) -> Pushed:
    """Pushes events that the server itself makes, and finds pairs among what they change; by new rules, among all."""
    pushed = await load_events(db, events, account=account, at=at)
    if rules_changed:
        await rescan(db, at)
    else:
        await find_pairs(db, pushed, Source(account, OWN_DEVICE, at))
    return pushed


async def rescan(db: Connection, at: datetime) -> None:
    """Gives every live entity its keys and pairs anew, as is needed after the rules have changed.

    Pushes wait meanwhile. Pairs found now are found at `at`; those that match no longer are closed.
    """
    await lock_head(db)
    rules = rules_from(await find_setting(db, "duplicates"))
    await queries.delete_stray_keys(db)
    last = ""
    while rows := await queries.list_live_after(db, last, _BATCH):
        last = rows[-1]["guid"]
        await _replace_keys(
            db,
            [row["guid"] for row in rows],
            {
                row["guid"]: keys_of(row["entity_name"] or row["type"], row["name"], orjson.loads(row["data"]), rules)
                for row in rows
            },
        )
    last = ""
    while guids := await queries.list_guids_with_keys_after(db, last, _BATCH):
        last = guids[-1]
        await queries.open_pairs(db, guids, at)
    await queries.close_all_pairs(db)


async def _replace_keys(db: Connection, guids: Sequence[str], keys: dict[str, set[Key]]) -> None:
    rows = [(guid, key.value, key.rule) for guid, own in keys.items() for key in own]
    await queries.replace_keys(db, guids, [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows])


async def _settle(db: Connection, settled: Sequence[_Settlement], account: str, at: datetime) -> None:
    if settled:
        await queries.settle_pairs(
            db,
            [each.entity_guid for each in settled],
            [each.duplicate_guid for each in settled],
            [each.state for each in settled],
            account=account,
            at=at,
        )


def _settlements(events: Iterable[Event]) -> list[_Settlement]:
    """Each pair once, whichever way round it is named. That one of the two is deleted outweighs that both are kept."""
    settled: dict[frozenset[str], _Settlement] = {}
    for event in events:
        for one, other in event.pairs:
            pair = frozenset((one, other))
            if len(pair) == 2 and (pair not in settled or settled[pair].state == queries.KEPT):
                state = queries.DELETED if event.deletes and event.entity_guid in pair else queries.KEPT
                settled[pair] = _Settlement(one, other, state)
    return list(settled.values())
