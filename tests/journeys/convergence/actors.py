"""The devices: those of the library, and installed phones. One can be asked for the same things as the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from server.device import Device, Retrying, Unavailable
from server.device import Event as LibraryEvent
from server.device import queries as device_queries
from server.device.store import event_from
from tests.conftest import PASSWORD
from tests.journeys.convergence.acting import Data, Doing, Shown, settling
from tests.journeys.convergence.line import AsyncLine, Line
from tests.old_client import CannotApply, Event, OldClient, SyncFailed

Clock = Callable[[], datetime]
Note = Callable[[Data, frozenset[str], str], None]
"""Is told what was recorded, which of its fields were meant, and by whom."""

Run = Callable[..., Any]
"""Has the server's loop do something and waits for it."""

_SKEWS = tuple(timedelta(minutes=each) for each in (-60 * 24, -10, 0, 0, 10, 60, 60 * 24 * 365))


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where devices are: the server, the tenant, the files, the time."""

    url: str
    tenant: str
    home: Path
    now: Clock
    note: Note
    run: Run


class Actor(Protocol):
    """A device and whoever holds it."""

    name: str
    is_phone: bool
    line: Line

    def shown(self) -> dict[str, Shown]:
        """What it shows."""

    def record(self, doings: Sequence[Doing]) -> None:
        """All or nothing where the device can do so."""

    def sync(self) -> bool:
        """Answers whether anything was new. Raises what the device raises."""

    def sync_badly(self) -> bool:
        """Answers whether it came to its end."""

    def sign_in(self, email: str) -> None: ...

    def set_clock(self, number: int) -> None: ...

    def end(self) -> None: ...


@dataclass
class Modern:
    """A device of the library. `kind` is one of KINDS; `has_synced` tells of a sync that came to its end."""

    place: Place
    name: str
    kind: str
    batch_size: int
    attempts: int
    email: str
    is_phone: bool = False
    skew: timedelta = timedelta(0)
    line: Line = field(init=False)
    device: Device = field(init=False)
    next_guid: str | None = None
    guids: int = 0
    has_synced: bool = False

    def __post_init__(self) -> None:
        self.line = Line(self.place.url)
        self.device = self._open()
        self.device.sign_in(self.email, PASSWORD)

    def _open(self) -> Device:
        return Device(
            self.place.home / self.name,
            server=self.place.url,
            tenant=self.place.tenant,
            keep_history=self.kind != "lean",
            whole_history=self.kind == "whole",
            batch_size=self.batch_size,
            retrying=Retrying(attempts=self.attempts, first_pause=0.0),
            clock=lambda: self.place.now() + self.skew,
            make_guid=self._guid,
            transport=self.line,
        )

    def _guid(self) -> str:
        if (guid := self.next_guid) is not None:
            self.next_guid = None
            return guid
        self.guids += 1
        return f"{self.name}-{self.guids}"

    def end(self) -> None:
        self.device.close()
        self.line.end()

    def reopen(self) -> None:
        """The program ends, and is started again."""
        self.device.close()
        self.device = self._open()

    def shown(self) -> dict[str, Shown]:
        return {each.guid: Shown(each.type, each.data, each.member_ids) for each in self.device.entities()}

    def record(self, doings: Sequence[Doing]) -> None:
        with self.device.together():
            events = [(self.device.record(each.type, each.entity, each.data), each.meant) for each in doings]
        for event, meant in events:
            self.place.note(event.content(), meant, self.name)

    def record_in_vain(self, doings: Sequence[Doing]) -> None:
        """What is recorded together is not there when the block raises."""
        before = self.shown()
        with suppress(Killed), self.device.together():
            for each in doings:
                self.device.record(each.type, each.entity, each.data)
            raise Killed
        assert self.shown() == before, "what was never recorded is shown"

    def record_and_die(self, doing: Doing, *, late: bool) -> None:
        """The process ends right before the event is kept, or right after."""
        kept = len(self.device.outbox())
        with suppress(Killed), _killed(after=0, late=late):
            self.device.record(doing.type, doing.entity, doing.data)
        self.reopen()
        outbox = self.device.outbox()
        assert len(outbox) == kept + late, "what was kept does not depend on the commit"
        if late:
            self.place.note(outbox[-1].content(), doing.meant, self.name)

    def sync(self) -> bool:
        report = self.device.sync()
        self.has_synced = True
        assert report.proven, "a receipt contradicts what was pushed"
        return bool(report.pushed or report.events or report.entities or report.epoch_changed)

    def sync_badly(self) -> bool:
        try:
            self.device.sync()
        except Unavailable:
            return False
        self.has_synced = True
        return True

    def sync_and_die(self, after: int, *, late: bool) -> None:
        """The process ends right before one of its commits, or right after."""
        with suppress(Killed), _killed(after=after, late=late):
            self.device.sync()
        self.reopen()

    def sign_in(self, email: str) -> None:
        self.device.sign_out()
        self.device.sign_in(email, PASSWORD)

    def set_clock(self, number: int) -> None:
        self.skew = _SKEWS[number % len(_SKEWS)]

    def holds(self, guid: str) -> bool:
        """Whether it has an event of this guid."""
        with self.device._store.transaction() as db:
            return device_queries.find_event(db, guid) is not None

    def event(self, guid: str) -> LibraryEvent:
        """One that it has to hold."""
        with self.device._store.transaction() as db:
            row = device_queries.find_event(db, guid)
        assert row is not None, f"{self.name} has lost the event {guid}"
        return event_from(row)

    def served_version(self, guid: str) -> int:
        """The version of the entity that the server gave it, 0 for none."""
        with self.device._store.transaction() as db:
            row = device_queries.find_served(db, self.device._store.get("generation"), guid)
        return 0 if row is None else int(row["version"])

    @property
    def cursor(self) -> tuple[str, int] | None:
        """How far it has come, where the entities it shows are from there."""
        cursor = self.device._store.get("cursor")
        if cursor is None or not self.device._store.is_of_present_log:
            return None
        epoch, seq = cursor.split(".")
        return epoch, int(seq)


@contextmanager
def _killed(*, after: int, late: bool) -> Iterator[None]:
    """Ends the program at a commit behind so many others."""
    commit = device_queries.commit
    left = after

    def die(db: device_queries.Database) -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            commit(db)
            return
        if late:
            commit(db)
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(device_queries, "commit", die)
        yield


@dataclass
class Phone:
    """An installed phone."""

    place: Place
    name: str
    email: str
    is_phone: bool = True
    line: Line = field(init=False)
    client: OldClient = field(init=False)
    guids: int = 0

    def __post_init__(self) -> None:
        self.line = Line(self.place.url)
        self.client = OldClient(self.place.url, self.place.tenant, now=self.place.now, transport=AsyncLine(self.line))
        self.client.custom_appliers["visit"] = lambda entity, event, store: (
            entity if store.get(entity["guid"]) else None
        )
        self.sign_in(self.email)

    def end(self) -> None:
        self.place.run(self.client.aclose())
        self.line.end()

    def shown(self) -> dict[str, Shown]:
        return {
            guid: Shown(each["type"], each["data"], each.get("memberIds") or [])
            for guid, each in self.client.entities().items()
        }

    def record(self, doings: Sequence[Doing]) -> None:
        for each in doings:
            self.guids += 1
            event: Event = {
                "guid": f"{self.name}-{self.guids}",
                "entityGuid": each.entity,
                "type": each.type,
                "data": each.data,
                "timestamp": self.client.clock.now(),
                "userId": self.client.user_id,
                "syncLevel": 0,
            }
            with suppress(CannotApply):
                self.client.submit(event)
            self.place.note({key: event[key] for key in event if key != "syncLevel"}, each.meant, self.name)

    def sync(self) -> bool:
        before = len(self.client.events)
        self._settle_pairs()
        self.place.run(self.client.sync())
        self._settle_pairs()
        return len(self.client.events) != before

    def sync_badly(self) -> bool:
        self._settle_pairs()
        try:
            self.place.run(self.client.sync())
        except SyncFailed:
            return False
        return True

    def _settle_pairs(self) -> None:
        """A person looks at each pair of duplicates and says that they are none."""
        self.record([settling(one, other, should_delete=False) for one, other in self.client.open_pairs])

    def sign_in(self, email: str) -> None:
        self.place.run(self.client.login(email, PASSWORD))

    def set_clock(self, number: int) -> None:
        """It is never put back: what is done after that, such a phone never sends."""
        self.client.clock.skew = max(self.client.clock.skew, _SKEWS[number % len(_SKEWS)])
