"""Folding the whole log anew, to prove or to restore that the entities are what it says."""

from collections import Counter
from dataclasses import dataclass

from server.db import Connection
from server.db.connection import Row
from server.sync import queries
from server.sync.epoch import begin_epoch
from server.sync.fold import Entity, fold
from server.sync.records import changed_outcomes, entity_from, entity_rows, event_from, form_of

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """How many events were folded, into how many entities, and which of these had stood otherwise before."""

    events: int
    entities: int
    differing: list[str]


@dataclass(frozen=True, slots=True)
class Refolded:
    """What the log gives when it is folded onto nothing, beside what stands.

    `rows` is the log, `entities` what stands for it then, `differing` the entities that stand otherwise, `outcomes` the
    events that have another outcome, as (guid, outcome, reason).
    """

    rows: list[Row]
    entities: dict[str, Entity]
    differing: list[str]
    outcomes: list[tuple[str, str, str]]


async def refold(db: Connection) -> Refolded:
    """Folds the whole log onto nothing and changes nothing. All of it is held in memory."""
    before = {row["guid"]: entity_from(row) for row in await queries.list_all_entities(db)}
    rows: list[Row] = []
    while batch := await queries.list_events_between(db, rows[-1]["seq"] if rows else 0, _BATCH):
        rows += batch
    entities: dict[str, Entity] = {}
    events = [event_from(row) for row in rows]
    folded = fold(entities, events)
    mentioned = {guid: event.seq for event in sorted(events, key=lambda event: event.seq) for guid in event.mentions}
    differing = []
    for guid, entity in entities.items():
        old = before.get(guid)
        entity.fed_seq = max(old.fed_seq if old else 0, mentioned[guid])
        if entity != old:
            differing.append(guid)
    for guid in before.keys() - entities.keys():
        # The log knows nothing of it: devices that were given it are told that it is gone.
        entities[guid] = Entity(guid, fed_seq=before[guid].fed_seq)
        if before[guid] != entities[guid]:
            differing.append(guid)
    return Refolded(rows, entities, sorted(differing), changed_outcomes(rows, folded))


async def rebuild(db: Connection) -> RebuildReport:
    """Folds the log onto nothing and puts the result in place of what stands, whatever that is.

    Pushes wait meanwhile. Where anything differed a new epoch begins, because devices may hold what stood there.
    """
    await queries.lock_all_entities(db)
    await queries.lock_head(db)
    folded = await refold(db)
    await _replace(db, folded.entities)
    if folded.differing:
        await begin_epoch(db)
    if folded.outcomes:
        await queries.update_outcomes(db, folded.outcomes)
    return RebuildReport(len(folded.rows), len(folded.entities), folded.differing)


async def _replace(db: Connection, entities: dict[str, Entity]) -> None:
    await queries.delete_all_entities(db)
    everything = sorted(entities.values(), key=lambda entity: entity.guid)
    for at in range(0, len(everything), _BATCH):
        part = everything[at : at + _BATCH]
        counts = Counter(form for entity in part if (form := form_of(entity)) is not None)
        await queries.insert_entities(db, entity_rows(part), list(counts), list(counts.values()))
