"""A push: events are folded onto the entities, numbered, and written, all in the caller's transaction.

Writers meet on rows: every entity that the events can touch is read and locked in the order of guids, so nobody else
can change what a push folds onto. What is not there yet cannot be locked. Two pushes that make the same entity, or
bring the same event, meet when they write: the later one finds it there, gives up what it made of the events, and
begins anew with what it now sees. One that others have outrun a few times makes them wait.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Final

import orjson

from server.db import Connection
from server.sync import late, queries
from server.sync.erasing import blank_erased
from server.sync.event import Event, Place
from server.sync.fold import Entity, Outcome, fold, follows
from server.sync.records import changed_outcomes, digest_of, entity_from, entity_rows, event_from, form_of

_ROUNDS_BESIDE_OTHERS: Final = 5
"""So often a push begins while others go on: a busy group could grow before each of its rounds, without end."""


@dataclass(frozen=True, slots=True)
class Source:
    """Who pushes: the authenticated account, the device, and when it arrived."""

    account: str
    device_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """What proves that a push was taken: its events have the numbers `first` to `last` of the epoch.

    `link` is its link in the chain, made of `previous`, the link before it, of `first` and of the events' digests.
    """

    epoch: str
    first: int
    last: int
    link: bytes
    previous: bytes


@dataclass(slots=True)
class Pushed:
    """What a push did. `outcomes` holds the outcome of each event that is new, by guid; the others were known.

    `entities` are all that were mentioned or changed, as they now stand; `events` the new ones, numbered.
    `fed_before` tells of these entities the number of the last event that had touched them before; 0 for new ones.
    `receipt` is None where nothing was new.
    """

    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    entities: dict[str, Entity] = field(default_factory=dict)
    fed_before: dict[str, int] = field(default_factory=dict)
    receipt: Receipt | None = None


Follow = Callable[[Connection, Pushed, Source], Awaitable[None]]
"""What else happens in a push's transaction: it gets what the push did."""


async def push(db: Connection, events: Sequence[Event], source: Source) -> Pushed:
    """Takes events into the log; those that are known already are passed over. A guid counts once, the first stands."""
    batch = list({event.guid: event for event in reversed(events)}.values())[::-1]
    guids = _mentioned(batch)
    rounds = count(1)
    while batch:
        if next(rounds) > _ROUNDS_BESIDE_OTHERS:
            await queries.lock_all_entities(db)
        await queries.set_savepoint(db)
        locked = await _Locked.by(db, guids)
        blank_erased(batch, locked.entities.values())
        reach = await _Reach.of(db, batch, locked)
        if reach.guids <= guids and (pushed := await _fold_and_write(db, batch, reach, locked, source)):
            return pushed
        await queries.return_to_savepoint(db)
        known = {row["guid"] for row in await queries.list_known(db, [event.guid for event in batch])}
        batch = [event for event in batch if event.guid not in known]
        guids = _mentioned(batch) | reach.guids
    return Pushed()


def _mentioned(events: Iterable[Event]) -> set[str]:
    return {guid for event in events for guid in event.mentions}


@dataclass(frozen=True, slots=True)
class _Locked:
    """What was locked: the guids that were asked for, and those of the entities that are there, as they stand."""

    guids: frozenset[str]
    entities: dict[str, Entity]

    @classmethod
    async def by(cls, db: Connection, guids: Iterable[str]) -> "_Locked":
        rows = await queries.lock_entities(db, sorted(guids))
        return cls(frozenset(guids), {row["guid"]: entity_from(row) for row in rows})


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
    async def of(cls, db: Connection, batch: Sequence[Event], locked: _Locked) -> "_Reach":
        going = await _going_with_removals(db, batch)
        guids = _mentioned(batch).union(*(each.guids for each in going))
        entities = await _read(db, guids, locked)
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
            entities |= await _read(db, more, locked)
        outlived = {guid for event in alone.values() for guid in late.outlived(event, entities)} - anew
        return cls(guids, entities, anew, outlived, history)


def _is_newest(event: Event, entities: Mapping[str, Entity], going: "_Going | None") -> bool:
    """Whether it is newer than all it touches, what it takes away included."""
    for guid in event.mentions:
        if not follows(entities[guid], event):
            return False
    return going is None or going.is_older_than(event)


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


async def _read(db: Connection, guids: Iterable[str], locked: _Locked) -> dict[str, Entity]:
    """The entities as they stand, one that is nowhere yet as nothing. Those that have been locked are known already."""
    entities = {guid: locked.entities.get(guid) or Entity(guid) for guid in guids}
    if unlocked := entities.keys() - locked.guids:
        for row in await queries.list_entities(db, list(unlocked)):
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


async def _fold_and_write(
    db: Connection, batch: list[Event], reach: _Reach, locked: _Locked, source: Source
) -> Pushed | None:
    """What the push did; None where another one brought one of its events, or made one of its entities, meanwhile."""
    forms = {guid: form_of(entity) for guid, entity in locked.entities.items()}
    fed_before = {guid: entity.fed_seq for guid, entity in locked.entities.items()}
    folding = _Folding(batch, reach)
    folding.fold_onto_rows()
    moved = await folding.fold_anew(db)
    if moved is None:
        return None
    touched = folding.touched_entities()
    receipt = await _write(db, batch, folding.outcomes, _EntityRows.of(touched, forms), source)
    if receipt is None:
        return None
    if moved:
        await queries.update_outcomes(db, moved)
    for index, event in enumerate(batch):
        event.seq = receipt.first + index
    for entity in touched.values():
        entity.fed_seq += receipt.first - 1
    fed = {guid: fed_before.get(guid, 0) for guid in touched}
    return Pushed(batch, folding.outcomes, touched, fed, receipt)


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

    async def fold_anew(self, db: Connection) -> list[tuple[str, str, str]] | None:
        """Folds the connected set that late events are entangled with from the log; gives the outcomes that moved.

        None where the log reaches further by now: another push made an entity that was not there to be locked.
        """
        if not self._anew:
            return []
        rows = await queries.list_events_of(db, self._reach.anew)
        entities: dict[str, Entity] = {}
        folded = fold(entities, [*(event_from(row) for row in rows), *self._anew])
        if not entities.keys() <= self._reach.entities.keys():
            return None
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
        """Those that were mentioned or changed; their fed_seq is the place in the batch of what touched them last."""
        touched = {guid: self._entities[guid] for guid in self.last_touch}
        for guid, entity in touched.items():
            entity.fed_seq = 1 + self.last_touch[guid]
        return touched

    def _history_of(self, guid: str) -> list[tuple[Event, Outcome]]:
        beside = [(event, self.outcomes[event.guid]) for event in self._beside[guid]]
        return [*self._reach.history[guid], *beside]

    def _touch(self, guids: Iterable[str], index: int) -> None:
        for guid in guids:
            self.last_touch[guid] = max(self.last_touch.get(guid, 0), index)


async def _write(
    db: Connection, events: Sequence[Event], outcomes: Mapping[str, Outcome], entities: "_EntityRows", source: Source
) -> Receipt | None:
    """Writes everything; None where an event, or an entity that was new, is there already."""
    happened = [outcomes[event.guid] for event in events]
    digests = [digest_of(event) for event in events]
    mentions = [(guid, place) for place, event in enumerate(events, 1) for guid in event.mentions]
    row = await queries.write_push(
        db,
        [
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
            [outcome.kind for outcome in happened],
            [outcome.reason for outcome in happened],
        ],
        [[guid for guid, _ in mentions], [place for _, place in mentions]],
        entities.new,
        entities.changed,
        [list(entities.counts), list(entities.counts.values())],
        digests=b"".join(digests),
        erased=[event.erased for event in events],
        account=source.account,
        device_id=source.device_id,
        at=source.at,
    )
    if (row["events"], row["entities"]) != (len(events), entities.number_new):
        return None
    return Receipt(row["epoch"], row["first"], row["last"], row["link"], row["previous"])


@dataclass(frozen=True, slots=True)
class _EntityRows:
    """Entities as they are written: how many are new, both kinds as JSON, and what changes in the counts by form."""

    number_new: int
    new: str
    changed: str
    counts: dict[str, int]

    @classmethod
    def of(cls, entities: Mapping[str, Entity], forms_before: Mapping[str, str | None]) -> "_EntityRows":
        new = [entity for guid, entity in entities.items() if guid not in forms_before]
        changed = [entity for guid, entity in entities.items() if guid in forms_before]
        return cls(len(new), entity_rows(new), entity_rows(changed), _changed_counts(entities, forms_before))


def _changed_counts(entities: Mapping[str, Entity], before: Mapping[str, str | None]) -> dict[str, int]:
    """Which forms have more or fewer live entities than before."""
    changes: Counter[str] = Counter()
    for guid, entity in entities.items():
        if (form := form_of(entity)) != before.get(guid):
            if form is not None:
                changes[form] += 1
            if (old := before.get(guid)) is not None:
                changes[old] -= 1
    return {form: change for form, change in sorted(changes.items()) if change}
