"""Devices that push and push, whatever becomes of the server, and note what it has promised them."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from random import Random
from typing import Any, Literal

import httpx

Event = dict[str, Any]
Dialect = Literal["old", "new"]

RETRIED = {503}
"""What a device is answered when it may try again. Anything else but 200 is a fault."""

_SHARED_PEOPLE = [f"shared-{number}" for number in range(12)]
_CAMPS = [f"camp-{number}" for number in range(3)]
_PAUSE_SECONDS = 0.03


@dataclass
class Promises:
    """What the server has answered: the events that it has taken, by guid, and the receipts."""

    events: dict[str, Event] = field(default_factory=dict)
    receipts: list[dict[str, Any]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    _grown: asyncio.Event = field(default_factory=asyncio.Event)

    def keep(self, events: list[Event]) -> None:
        """Notes that these were acknowledged."""
        self.events |= {event["guid"]: event for event in events}
        self._grown.set()

    async def grow_by(self, more: int) -> None:
        """Returns when so many more events are acknowledged."""
        wanted = len(self.events) + more
        while len(self.events) < wanted:
            self._grown.clear()
            await self._grown.wait()


class Device:
    """Pushes batches of its own people, and of people and groups that all devices change; never gives one up."""

    def __init__(self, client: httpx.AsyncClient, config_id: str, name: str, dialect: Dialect, seed: int) -> None:
        self._client = client
        self._config_id = config_id
        self._name = name
        self._dialect = dialect
        self._random = Random(seed)
        self._numbers = count(1)
        self._clock = datetime.now(UTC)
        self._own: list[str] = []

    async def work(self, promises: Promises, stop: asyncio.Event) -> None:
        """Pushes until told to stop; the batch under way then is still pushed until it is taken."""
        while not stop.is_set():
            batch = [self._event() for _ in range(self._random.randint(1, 25))]
            await self._push_until_taken(batch, promises)
            promises.keep(batch)

    async def _push_until_taken(self, batch: list[Event], promises: Promises) -> None:
        while True:
            if await self._push(batch, promises):
                return
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _push(self, batch: list[Event], promises: Promises) -> bool:
        try:
            answer = await (self._push_old(batch) if self._dialect == "old" else self._push_new(batch))
        except httpx.TransportError as error:
            promises.failures[type(error).__name__] += 1
            return False
        if answer.status_code == 200:
            if self._dialect == "new":
                _note(answer.json(), promises)
            return True
        promises.failures[str(answer.status_code)] += 1
        assert answer.status_code in RETRIED, f"{answer.status_code} {answer.text}"
        return False

    async def _push_old(self, batch: list[Event]) -> httpx.Response:
        return await self._client.post("/api/sync/push", json={"events": batch, "configId": self._config_id})

    async def _push_new(self, batch: list[Event]) -> httpx.Response:
        headers = {"X-Tenant-Id": self._config_id, "X-Device-Id": self._name}
        return await self._client.post("/api/v2/sync/push", json={"events": batch}, headers=headers)

    def _event(self) -> Event:
        make = self._random.choice([self._create, self._create, self._update_own, self._update_shared, self._join])
        type_, entity, data = make()
        self._clock = max(self._clock + timedelta(milliseconds=1), datetime.now(UTC))
        return {
            "guid": f"{self._name}-event-{next(self._numbers)}",
            "entityGuid": entity,
            "type": type_,
            "data": data,
            "timestamp": self._clock.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "userId": self._name,
            "syncLevel": 0,
        }

    def _create(self) -> tuple[str, str, Event]:
        self._own.append(f"{self._name}-person-{len(self._own)}")
        return "create-individual", self._own[-1], {"name": f"Person {len(self._own)} of {self._name}"}

    def _update_own(self) -> tuple[str, str, Event]:
        if not self._own:
            return self._create()
        return "update-individual", self._random.choice(self._own), {"age": self._random.randrange(90)}

    def _update_shared(self) -> tuple[str, str, Event]:
        return "update-individual", self._random.choice(_SHARED_PEOPLE), {self._name: self._random.randrange(90)}

    def _join(self) -> tuple[str, str, Event]:
        members = [{"guid": f"{self._name}-member-{next(self._numbers)}", "name": "Member"}]
        return "add-member", self._random.choice(_CAMPS), {"members": members}


def beginnings() -> list[Event]:
    """The people and groups that all devices change."""
    people = [("create-individual", guid, {"name": guid}) for guid in _SHARED_PEOPLE]
    camps = [("create-group", guid, {"name": guid}) for guid in _CAMPS]
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return [
        {"guid": f"begin-{e}", "entityGuid": e, "type": t, "data": d, "timestamp": now, "userId": "1", "syncLevel": 0}
        for t, e, d in people + camps
    ]


def digest_of(event: Event) -> bytes:
    """The digest of an event of plain texts and small numbers, as the protocol describes it."""
    content = {name: event[name] for name in ("guid", "entityGuid", "type", "data", "timestamp", "userId")}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).digest()


def _note(answer: dict[str, Any], promises: Promises) -> None:
    assert not [fate for fate in answer["events"] if fate["status"] == "quarantined"], answer
    promises.numbers |= {fate["guid"]: fate["seq"] for fate in answer["events"]}
    if answer["receipt"] is not None:
        promises.receipts.append(answer["receipt"])


async def stop_all(devices: list["asyncio.Task[None]"]) -> None:
    """Ends devices in the middle of whatever they do."""
    for device in devices:
        device.cancel()
    for device in devices:
        with suppress(asyncio.CancelledError):
            await device
