"""A push: events are locked in, folded onto the entities, numbered, and written, all in the caller's transaction.

Writers meet on rows: before any state is read, every entity that the events can touch is locked in the order of guids,
unknown ones as placeholders. Only then does a push see what it folds onto, and nobody else can change it meanwhile.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import orjson

from server.db import Connection
from server.sync import late, queries
from server.sync.event import Event, Place
from server.sync.fold import Entity, Outcome, fold, follows
from server.sync.records import changed_outcomes, digest_of, entity_from, entity_rows, event_from, form_of


@dataclass(frozen=True, slots=True)
class Source:
    """Who pushes: the authenticated account, the device, and when it arrived."""

    account: str
    device_id: str
    at: datetime


@dataclass(slots=True)
class Pushed:
    """What a push did. `outcomes` holds the outcome of each event that is new, by guid; the others were known.

    `entities` are all that were mentioned or changed, as they now stand; `events` the new ones, numbered.
    `fed_before` tells of these entities the number of the last event that had touched them before; 0 for new ones.
    """

    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    fed_before: dict[str, int] = field(default_factory=dict)


async def push(db: Connection, events: Sequence[Event], source: Source) -> Pushed:
    """Takes events into the log; those that are known already are passed over. A guid counts once, the first stands."""
    batch = list({event.guid: event for event in reversed(events)}.values())[::-1]
    guids = {guid for event in batch for guid in event.mentions}
    while batch:
        await queries.set_savepoint(db)
        await queries.lock_entities(db, sorted(guids))
        new = await _unknown(db, batch)
        if len(new) < len(batch):
            batch = new
            guids = {guid for event in batch for guid in event.mentions}
            await queries.return_to_savepoint(db)
            continue
        reach = await _Reach.of(db, batch)
        if reach.guids <= guids:
            return await _fold_and_write(db, batch, reach, source)
        guids |= reach.guids
        await queries.return_to_savepoint(db)
    return Pushed()


async def _unknown(db: Connection, events: Sequence[Event]) -> list[Event]:
    """Those that are not in the log yet. Asked behind the locks, where nobody can add one of them meanwhile."""
    known = await queries.known_guids(db, [event.guid for event in events])
    return [event for event in events if event.guid not in known]


@dataclass(slots=True)
class _Reach:
    """How far a batch reaches: all entities it can touch as they stand, and those that have to be folded anew.

    `outlived` are entities whose fields late events write, to be settled from their `history`.
    """

    guids: set[str]
    entities: dict[str, Entity]
    anew: set[str]
    outlived: set[str]
    history: dict[str, list[tuple[Event, Outcome]]]

    @classmethod
    async def of(cls, db: Connection, batch: Sequence[Event]) -> "_Reach":
        going = await _going_with_removals(db, batch)
        guids = {guid for event in batch for guid in event.mentions}.union(*(each.guids for each in going))
        entities = await _read(db, guids)
        for each in going:
            each.look_at(entities)
        taking = {guid: each for each in going for guid in each.removed}
        overdue = [event for event in batch if not _is_newest(event, entities, taking.get(event.removes or ""))]
        alone, history = await _standing_alone(db, overdue, batch, entities)
        tangled = [event for event in overdue if event.guid not in alone]
        start = {guid for event in tangled for guid in event.mentions}
        anew = await _connected(db, start, [*(set(event.mentions) for event in batch), *(each.guids for each in going)])
        if more := anew - guids:
            guids |= more
            entities |= await _read(db, more)
        outlived = {guid for event in alone.values() for guid in late.outlived(event, entities)} - anew
        return cls(guids, entities, anew, outlived, history)


def _is_newest(event: Event, entities: Mapping[str, Entity], going: "_Going | None") -> bool:
    """Whether it is newer than all it touches, what it takes away included."""
    return all(follows(entities[guid], event) for guid in event.mentions) and (
        going is None or going.is_older_than(event)
    )


async def _standing_alone(
    db: Connection, overdue: Sequence[Event], batch: Sequence[Event], entities: dict[str, Entity]
) -> tuple[dict[str, Event], dict[str, list[tuple[Event, Outcome]]]]:
    """The late events that need no folding anew, by guid, and the history of what they write into."""
    candidates = [event for event in overdue if late.may_stand_alone(event, entities)]
    wanted = {guid for event in candidates for guid in late.needs_history(event, entities)}
    rows = await queries.list_events_of(db, wanted) if wanted else []
    history: dict[str, list[tuple[Event, Outcome]]] = {guid: [] for guid in wanted}
    for row in rows:
        event = event_from(row)
        for guid in wanted.intersection(event.mentions):
            history[guid].append((event, Outcome(row["outcome"], row["reason"])))
    beside = {guid: events for guid, events in _by_mention(batch).items() if guid in wanted}
    entangled = late.entangled(history, beside, entities)
    alone = {e.guid: e for e in candidates if entangled.isdisjoint(late.needs_history(e, entities))}
    return alone, history


def _by_mention(events: Iterable[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        for guid in event.mentions:
            found.setdefault(guid, []).append(event)
    return found


async def _read(db: Connection, guids: Iterable[str]) -> dict[str, Entity]:
    """The entities as they stand; one that is nowhere yet, as nothing."""
    guids = list(guids)
    entities = {guid: Entity(guid) for guid in guids}
    for row in await queries.list_entities(db, guids):
        entities[row["guid"]] = entity_from(row)
    return entities


@dataclass(slots=True)
class _Going:
    """What can go together when any of `removed` is taken away: all below these, and the groups that all that is in."""

    removed: set[str]
    guids: set[str]
    _newest: Place | None = None
    _is_entangled: bool = False

    def look_at(self, entities: Mapping[str, Entity]) -> None:
        """Notes how new the entities are, once for all the events that take them away."""
        for guid in self.guids:
            entity = entities[guid]
            if entity.newest is not None:
                self._is_entangled = self._is_entangled or not entity.created
                self._newest = max(self._newest or entity.newest, entity.newest)

    def is_older_than(self, event: Event) -> bool:
        """Whether the event may be folded onto all of it as it stands."""
        return not self._is_entangled and (self._newest is None or self._newest < event.place)


async def _going_with_removals(db: Connection, batch: Sequence[Event]) -> list[_Going]:
    """What the batch can take away. Removals that overlap share one set: no memory grows with their product."""
    removed = {event.removes for event in batch if event.removes is not None}
    members: dict[str, set[str]] = {}
    for event in batch if removed else ():
        for group, member in event.joins:
            members.setdefault(group, set()).add(member)
    parents: dict[str, list[str]] = {}
    read: set[str] = set()
    while unread := _below(removed, members) - read:
        read |= unread
        for row in await queries.list_below(db, unread):
            read.add(row["guid"])
            members.setdefault(row["guid"], set()).update(row["member_ids"])
            parents[row["guid"]] = row["parent_ids"]
    going = _together(removed, members)
    for each in going:
        each.guids = each.guids.union(*(parents.get(guid, ()) for guid in each.guids))
    return going


def _together(removed: Iterable[str], members: Mapping[str, set[str]]) -> list[_Going]:
    """The removed with all below them, in sets that do not overlap. Each entity is visited once."""
    of: dict[str, _Going] = {}
    for guid in removed:
        found = _Going({guid}, set())
        open_ = [guid]
        while open_:
            each = open_.pop()
            if each in found.guids:
                continue
            if (other := of.get(each)) is not None and other is not found:
                small, found = sorted((found, other), key=lambda going: len(going.guids))
                found.removed |= small.removed
                found.guids |= small.guids
                of.update(dict.fromkeys(small.guids, found))
                continue
            found.guids.add(each)
            of[each] = found
            open_ += members.get(each, ())
    return list({id(each): each for each in of.values()}.values())


def _below(guids: Iterable[str], members: Mapping[str, set[str]]) -> set[str]:
    """The entities and everything below them."""
    found = set(guids)
    open_ = list(found)
    while open_:
        new = members.get(open_.pop(), set()) - found
        found |= new
        open_ += new
    return found


async def _connected(db: Connection, guids: set[str], touches: Sequence[set[str]]) -> set[str]:
    """The connected set of entities around these, through the log and through the batch."""
    touching: dict[str, list[int]] = {}
    for index, touched in enumerate(touches) if guids else ():
        for guid in touched:
            touching.setdefault(guid, []).append(index)
    reached: set[str] = set()
    while guids:
        new = await queries.list_connected(db, guids) - reached
        reached |= new
        indexes = {index for guid in new for index in touching.pop(guid, ())}
        guids = set().union(*(touches[index] for index in indexes)) - reached
    return reached


async def _fold_and_write(db: Connection, batch: list[Event], reach: _Reach, source: Source) -> Pushed:
    forms = {guid: form_of(entity) for guid, entity in reach.entities.items()}
    fed_before = {guid: entity.fed_seq for guid, entity in reach.entities.items()}
    folding = _Folding(batch, reach)
    folding.fold_onto_rows()
    moved = await folding.fold_anew(db)
    touched = folding.touched_entities()
    pushed = Pushed(batch, folding.outcomes, touched, {guid: fed_before.get(guid, 0) for guid in touched})
    digests = [digest_of(event) for event in batch]
    first = 1 + await queries.take_numbers(
        db,
        count=len(batch),
        digests=b"".join(digests),
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )
    for index, event in enumerate(batch):
        event.seq = first + index
    for guid, index in folding.last_touch.items():
        pushed.entities[guid].fed_seq = first + index
    await _write(db, pushed, digests, source)
    if moved:
        await queries.update_outcomes(db, moved)
    await _count(db, forms, pushed.entities)
    return pushed


class _Folding:
    """What a batch makes of the entities. `last_touch`: by entity, the place in the batch of what touched it last."""

    def __init__(self, batch: Sequence[Event], reach: _Reach) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.last_touch: dict[str, int] = {}
        self._reach = reach
        self._index = {event.guid: index for index, event in enumerate(batch)}
        self._onto_rows = [event for event in batch if reach.anew.isdisjoint(event.mentions)]
        self._beside = _by_mention(self._onto_rows) if reach.outlived else {}
        self._anew = [event for event in batch if not reach.anew.isdisjoint(event.mentions)]
        self._entities = {guid: entity for guid, entity in reach.entities.items() if guid not in reach.anew}

    def fold_onto_rows(self) -> None:
        """Takes the events that the entities can take as they stand."""
        folded = fold(self._entities, self._onto_rows)
        self.outcomes |= folded.outcomes
        for guid in self._reach.outlived:
            if self._entities[guid].deaths == 0:
                late.settle_fields(self._entities[guid], self._history_of(guid))
        for event_guid, touched in folded.touched.items():
            self._touch(touched, self._index[event_guid])

    async def fold_anew(self, db: Connection) -> list[tuple[str, str, str]]:
        """Folds the connected set that late events are entangled with from the log; gives the outcomes that moved."""
        if not self._anew:
            return []
        rows = await queries.list_events_of(db, self._reach.anew)
        entities: dict[str, Entity] = {}
        folded = fold(entities, [*(event_from(row) for row in rows), *self._anew])
        last = 0
        for event in self._anew:
            self.outcomes[event.guid] = folded.outcomes[event.guid]
            self._touch(event.mentions, self._index[event.guid])
            last = max(last, self._index[event.guid])
        for guid, entity in entities.items():
            before = self._reach.entities[guid]
            entity.fed_seq = before.fed_seq
            if entity != before:
                self._touch([guid], last)
        self._entities |= entities
        return changed_outcomes(rows, folded)

    def touched_entities(self) -> dict[str, Entity]:
        """Those that were mentioned or changed."""
        return {guid: self._entities[guid] for guid in self.last_touch}

    def _history_of(self, guid: str) -> list[tuple[Event, Outcome]]:
        beside = [(event, self.outcomes[event.guid]) for event in self._beside[guid]]
        return [*self._reach.history[guid], *beside]

    def _touch(self, guids: Iterable[str], index: int) -> None:
        for guid in guids:
            self.last_touch[guid] = max(self.last_touch.get(guid, 0), index)


async def _write(db: Connection, pushed: Pushed, digests: list[bytes], source: Source) -> None:
    events = pushed.events
    outcomes = [pushed.outcomes[event.guid] for event in events]
    await queries.insert_events(
        db,
        [
            [event.seq for event in events],
            [event.guid for event in events],
            [event.entity_guid for event in events],
            [event.type for event in events],
            [orjson.dumps(event.data).decode() for event in events],
            [None if event.applied is None else orjson.dumps(event.applied).decode() for event in events],
            [event.timestamp for event in events],
            [event.timestamp_ms for event in events],
            [event.effective_ms for event in events],
            [event.user_id for event in events],
            [event.base_seq for event in events],
            digests,
            [outcome.kind for outcome in outcomes],
            [outcome.reason for outcome in outcomes],
        ],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )
    mentions = [(guid, event.seq) for event in events for guid in event.mentions]
    await queries.insert_mentions(db, [guid for guid, _ in mentions], [seq for _, seq in mentions])
    await queries.write_entities(db, entity_rows(pushed.entities.values()))


async def _count(db: Connection, before: dict[str, str | None], entities: dict[str, Entity]) -> None:
    """Carries over into the counts which entities came and went."""
    changes: Counter[str] = Counter()
    for guid, entity in entities.items():
        if (form := form_of(entity)) != before.get(guid):
            if form is not None:
                changes[form] += 1
            if (old := before.get(guid)) is not None:
                changes[old] -= 1
    changed = sorted((form, change) for form, change in changes.items() if change)
    if changed:
        await queries.add_to_counts(db, [form for form, _ in changed], [change for _, change in changed])
