"""A plan being carried out: devices at work, a network that fails, a server that may lose its memory.

What has to hold at every moment is watched at every step; what has to hold when everybody is online is in `judging`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from server.device import Event
from server.sync.old_clients import feed
from server.sync.old_clients.marks import PEOPLE_CARRIER
from server.sync.v2 import pull, snapshot
from tests.conftest import PASSWORD, TenantHandle
from tests.journeys.convergence.acting import ACTS, Data, Names, Scene
from tests.journeys.convergence.actors import Actor, Modern, Phone, Place
from tests.journeys.convergence.line import HARMLESS, WAYS
from tests.journeys.convergence.plan import KINDS, Plan, Step
from tests.journeys.convergence.server_side import ServerSide

T = TypeVar("T")

_MOST_ACTORS = 6
_ROUNDS = 12
_TICK = timedelta(milliseconds=23)
_LOOKED_EVERY = 8
_TAKEN = frozenset({"accepted", "known", "waiting"})
_REMOVING = frozenset({"delete-entity", "remove-member", "resolve-duplicate"})

Numbers = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Recorded:
    """What somebody recorded: its content, which fields were meant, by whom, and when in milliseconds since 1970."""

    content: Data
    meant: frozenset[str]
    by: str
    at_ms: int


@dataclass
class World:
    """Its methods are for a thread of their own, beside the loop that the server runs in.

    `recorded` holds everything by guid (two contents where two devices used one guid); `intruders` guid and code of
    what was sent that is no event. `told` is each entity as it was at each of its versions, whoever told it; `newest`,
    `cursors` how far each of them had come. `waiting` are by device the guids that the server has not counted in.
    """

    plan: Plan
    handle: TenantHandle
    server: ServerSide
    emails: list[str]
    home: Path
    loop: asyncio.AbstractEventLoop
    actors: list[Actor] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    recorded: dict[str, list[Recorded]] = field(default_factory=dict)
    intruders: set[tuple[str, str]] = field(default_factory=set)
    told: dict[tuple[str, str, int], Data] = field(default_factory=dict)
    newest: dict[tuple[str, str, str], int] = field(default_factory=dict)
    cursors: dict[str, tuple[str, int]] = field(default_factory=dict)
    waiting: dict[str, list[str]] = field(default_factory=dict)
    epochs_begun: int = 0
    was_restored: bool = False
    _ticks: int = 0
    _start: datetime = field(default_factory=lambda: datetime.now(UTC))

    # Who and when

    @property
    def place(self) -> Place:
        return Place(self.handle.croft.url, self.handle.config_id, self.home, self.now, self.note, self.run)

    def now(self) -> datetime:
        self._ticks += 1
        return self._start + self._ticks * _TICK

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Has the server's loop do something and waits for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    def note(self, content: Data, meant: frozenset[str], by: str) -> None:
        self.recorded.setdefault(content["guid"], []).append(Recorded(content, meant, by, int(time.time() * 1000)))
        self.waiting.setdefault(by, []).append(content["guid"])

    def join(self, kind: str, number: int) -> Actor:
        """One more device."""
        name, email = f"{kind}{len(self.actors)}", self.emails[number % len(self.emails)]
        actor: Actor
        if kind == "old":
            actor = Phone(self.place, name, email)
        else:
            batch, attempts = (1, 2, 5, 1000)[number % 4], (1, 3)[number % 2]
            actor = Modern(self.place, name, kind, batch, attempts, email)
        self.actors.append(actor)
        return actor

    @property
    def modern(self) -> list[Modern]:
        return [each for each in self.actors if isinstance(each, Modern)]

    @property
    def phones(self) -> list[Phone]:
        return [each for each in self.actors if isinstance(each, Phone)]

    # The plan

    def play(self) -> None:
        """Carries out the plan. Raises AssertionError, naming the step, when anything comes out wrong."""
        with self._small_pages():
            for number, kind in enumerate(self.plan.cast):
                self.join(kind, number + self.plan.page)
            for index, step in enumerate(self.plan.steps):
                with _named(f"step {index} ({step})"):
                    self._take(step, index)
            with _named("coming to rest"):
                self._come_to_rest()

    def end(self) -> None:
        for actor in self.actors:
            actor.end()
        self.run(self.server.close())

    @contextmanager
    def _small_pages(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(feed, "PAGE", min(self.plan.page, 100))
            patch.setattr(pull, "_STEP", self.plan.page)
            patch.setattr(snapshot, "_STEP", self.plan.page)
            yield

    def _take(self, step: Step, index: int) -> None:
        actor = self.actors[step.who % len(self.actors)]
        if step.act in ACTS:
            actor.record(ACTS[step.act](self._scene(actor, step.numbers)))
        else:
            happenings[step.act](self, actor, step.numbers)
        self._watch(actor)
        if index % _LOOKED_EVERY == 0:
            self._look_at_server()

    def _scene(self, actor: Actor, numbers: Numbers) -> Scene:
        return Scene(actor.shown(), self.names, numbers, actor.is_phone, self.plan.is_wild)

    def _come_to_rest(self) -> None:
        """Everybody syncs until nothing is new to anybody."""
        for actor in self.actors:
            actor.line.recover()
            actor.line.wait()
            actor.line.deliver()
        for _ in range(_ROUNDS):
            head = self.run(self.server.head())
            news = [actor.sync() for actor in self.actors]
            for actor in self.actors:
                self._watch(actor)
            self._look_at_server()
            if not any(news) and head == self.run(self.server.head()):
                return
        raise AssertionError("there is always something new to somebody")

    # What holds at every moment

    def _watch(self, actor: Actor) -> None:
        assert actor.line.complaints == [], actor.line.complaints
        if isinstance(actor, Modern):
            self._watch_cursor(actor)
            self._watch_versions(actor)
            self._watch_own_edits(actor)

    def _watch_cursor(self, actor: Modern) -> None:
        cursor, before = actor.cursor, self.cursors.get(actor.name)
        if cursor is None:
            return
        if before is not None and before[0] == cursor[0]:
            assert cursor[1] >= before[1], f"{actor.name}: the cursor went back from {before} to {cursor}"
        self.cursors[actor.name] = cursor

    def _watch_versions(self, actor: Modern) -> None:
        cursor = actor.cursor
        for each in actor.device.entities() if cursor else ():
            if cursor and each.version and not each.unsynced:
                entity = {
                    "version": each.version,
                    "state": each.state,
                    "type": each.type,
                    "form": each.form,
                    "name": each.name,
                    "externalId": each.external_id,
                    "data": each.data,
                    "memberIds": each.member_ids,
                    "parentIds": each.parent_ids,
                    "updated_ms": _ms(each.last_updated),
                }
                self._compare(actor.name, cursor[0], each.guid, entity)

    def _look_at_server(self) -> None:
        epoch, entities = self.run(self.server.entities())
        for guid, entity in entities.items():
            self._compare("server", epoch, guid, entity)

    def _compare(self, who: str, epoch: str, guid: str, entity: Data) -> None:
        """Versions only grow, and what has one version is the same everywhere."""
        version = entity["version"]
        before = self.newest.get((who, epoch, guid), 0)
        assert version >= before, f"{who}: the version of {guid} went back from {before} to {version}"
        self.newest[who, epoch, guid] = version
        same = self.told.setdefault((epoch, guid, version), entity)
        assert entity == same, f"{who}: version {version} of {guid} is\n{entity}\nand was\n{same}"

    def _watch_own_edits(self, actor: Modern) -> None:
        """What was done on a device is shown there until the server has counted it in."""
        events = self._not_counted_in(actor)
        is_removing = any(event.type in _REMOVING for event in events)
        for guid, expected in _written(events).items():
            entity = actor.device.get(guid)
            if entity is None:
                # A server that was restored may not know of the deletion that the device still shows.
                is_gone = is_removing or self.was_restored or self.run(self.server.was_ever_deleted(guid))
                assert is_gone, f"{actor.name} does not show {guid}"
                continue
            shown = {key: entity.data.get(key) for key in expected}
            assert shown == expected, f"{actor.name} shows {shown} of {guid}, where {expected} was recorded"

    def _not_counted_in(self, actor: Modern) -> list[Event]:
        """In a new epoch what the server had counted in before is offered again, but stays where it was."""
        events = [actor.event(guid) for guid in self.waiting.get(actor.name, ())]
        waiting = [event for event in events if event.status == "unsent" or self._is_not_pulled(actor, event)]
        actor.has_synced = False
        self.waiting[actor.name] = [event.guid for event in waiting]
        return waiting

    def _is_not_pulled(self, actor: Modern, event: Event) -> bool:
        if actor.has_synced or actor.cursor is None or event.seq is None or event.status not in _TAKEN:
            return False
        return actor.served_version(event.entity_guid) < event.seq

    # What happens

    def sync(self, actor: Actor, numbers: Numbers) -> None:
        actor.line.wait()
        actor.sync()

    def sync_badly(self, actor: Actor, numbers: Numbers) -> None:
        way = WAYS[numbers[0] % len(WAYS)]
        actor.line.go_wrong(way, numbers[1] % 5, numbers[2])
        is_done = actor.sync_badly()
        is_fine = actor.line.recover()
        assert is_done or not (is_fine or way in HARMLESS), f"a sync failed, {way}: {actor.line.complaints}"

    def rush(self, actor: Actor, numbers: Numbers) -> None:
        """All of them at the same moment."""
        with ThreadPoolExecutor(len(self.actors)) as threads:
            for each in [threads.submit(each.sync) for each in self.actors]:
                each.result()
        for each_actor in self.actors:
            self._watch(each_actor)

    def deliver(self, actor: Actor, numbers: Numbers) -> None:
        for each in self.actors:
            each.line.deliver()

    def crash(self, actor: Actor, numbers: Numbers) -> None:
        if not isinstance(actor, Modern):
            return
        actor.line.wait()
        late = numbers[2] % 2 == 1
        if numbers[0] % 4:
            actor.sync_and_die(numbers[1] % 14, late=late)
        else:
            for doing in ACTS["edit"](self._scene(actor, numbers)):
                actor.record_and_die(doing, late=late)

    def reopen(self, actor: Actor, numbers: Numbers) -> None:
        if isinstance(actor, Modern):
            actor.reopen()

    def together(self, actor: Actor, numbers: Numbers) -> None:
        names = ("found", "edit", "add-known", "delete")
        doings = [doing for name in names[: 2 + numbers[0] % 3] for doing in ACTS[name](self._scene(actor, numbers))]
        if isinstance(actor, Modern) and numbers[1] % 3 == 0:
            actor.record_in_vain(doings)
        else:
            actor.record(doings)

    def sign_in(self, actor: Actor, numbers: Numbers) -> None:
        actor.sign_in(self.emails[numbers[0] % len(self.emails)])

    def set_clock(self, actor: Actor, numbers: Numbers) -> None:
        actor.set_clock(numbers[0])

    def join_in(self, actor: Actor, numbers: Numbers) -> None:
        if len(self.actors) < _MOST_ACTORS:
            kinds = KINDS[:-1] if self.plan.is_wild else KINDS
            self.join(kinds[numbers[0] % len(kinds)], numbers[1])

    def twin(self, actor: Actor, numbers: Numbers) -> None:
        """Two devices use one guid: what a copied store would do. A phone would never learn that its own is refused."""
        if not isinstance(actor, Modern):
            return
        others = [guid for guid in self.recorded if not guid.startswith("old") and not actor.holds(guid)]
        if others:
            actor.next_guid = others[-1 - numbers[0] % min(len(others), 5)]
            actor.record(ACTS["register"](self._scene(actor, numbers)))

    def intrude(self, actor: Actor, numbers: Numbers) -> None:
        """Something is sent that is no event."""
        guid = f"intruder{self.names.number()}"
        good = {
            "guid": guid,
            "entityGuid": guid,
            "type": "create-individual",
            "data": {"name": guid},
            "timestamp": "2026-01-01T00:00:00.000Z",
            "userId": "1",
        }
        bad: tuple[tuple[Any, str], ...] = (
            ({**good, "data": {}}, "event.invalid"),
            ({**good, "timestamp": "yesterday"}, "event.invalid"),
            ({**good, "type": "add-member", "data": {"members": [{}]}}, "event.invalid"),
            ({**good, "userId": None}, "event.invalid"),
            ({**good, "type": "add-member", "data": {"members": [{"guid": PEOPLE_CARRIER}]}}, "event.reserved-guid"),
            ("no event", "event.invalid"),
        )
        event, code = bad[numbers[0] % len(bad)]
        path = ("/api/v2/sync/push", "/api/sync/push")[numbers[1] % 2]
        answer = self.run(self._push(path, event))
        assert answer.status_code == 200, answer.text
        self.intruders.add((guid if isinstance(event, dict) else "", code))

    async def _push(self, path: str, event: Any) -> httpx.Response:
        caller = await self.handle.croft.signed_in(self.emails[0], PASSWORD)
        headers = {"X-Device-Id": "intruder", "X-Tenant-Id": self.handle.config_id}
        return await caller.post(path, json={"events": [event], "configId": self.handle.config_id}, headers=headers)

    def begin_epoch(self, actor: Actor, numbers: Numbers) -> None:
        self.run(self.server.begin_epoch())
        self.epochs_begun += 1

    def back_up(self, actor: Actor, numbers: Numbers) -> None:
        self.run(self.server.back_up())

    def restore(self, actor: Actor, numbers: Numbers) -> None:
        """Nobody writes meanwhile: what is on its way is refused, as by a server that is down."""
        if self.server.has_backup:
            for each in self.actors:
                each.line.wait()
            self.run(self.server.restore())
            self.epochs_begun += 1
            self.was_restored = True


happenings: dict[str, Callable[[World, Actor, Numbers], None]] = {
    "sync": World.sync,
    "sync-badly": World.sync_badly,
    "rush": World.rush,
    "deliver": World.deliver,
    "crash": World.crash,
    "reopen": World.reopen,
    "together": World.together,
    "sign-in": World.sign_in,
    "set-clock": World.set_clock,
    "join": World.join_in,
    "twin": World.twin,
    "intrude": World.intrude,
    "begin-epoch": World.begin_epoch,
    "back-up": World.back_up,
    "restore": World.restore,
}


def _written(events: Sequence[Event]) -> dict[str, Data]:
    """The values that events write last, field by field.

    Only those that are shown in any case: a removal may take any of them away, and what was written before a creation
    is without effect where that revives.
    """
    written: dict[str, Data] = {}
    for event in events:
        fields = {key: value for key, value in event.data.items() if key != "members"}
        if event.type in _REMOVING:
            written.clear()
        elif event.type.startswith("create-"):
            written[event.entity_guid] = fields
        elif event.type.startswith("update-"):
            written.setdefault(event.entity_guid, {}).update(fields)
    return written


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"At {what}.")
        raise
