"""A device that pulls straight from a log, and what the log has to hold for it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from server.kit.clock import from_ms, iso_ms
from server.sync.v2 import pull, snapshot
from server.sync.v2.cursor import read_cursor
from server.sync.v2.pull import Puller
from server.sync.v2.queries import Wanted
from tests.server.sync.conftest import AT, Log

ACCOUNT = "ann@example.org"
DEVICE = "the reader"

Json = dict[str, Any]


async def states_on(log: Log, only_live: bool = False) -> dict[str, Json]:
    """Every entity of the log, as the wire has it."""
    return {
        row["guid"]: {
            "guid": row["guid"],
            "version": row["fed_seq"],
            "state": row["state"],
            "type": row["type"],
            "form": row["entity_name"] or row["type"],
            "name": row["name"],
            "externalId": row["external_id"],
            "data": orjson.loads(row["data"]),
            "memberIds": row["member_ids"],
            "parentIds": row["parent_ids"],
            "lastUpdated": iso_ms(from_ms(row["updated_ms"])),
        }
        for row in await log.fetch("SELECT * FROM entities")
        if row["state"] == "live" or not only_live
    }


async def events_on(log: Log) -> list[Json]:
    """Every event of the log in order, as the wire has it."""
    return [
        {
            "guid": row["guid"],
            "entityGuid": row["entity_guid"],
            "type": row["type"],
            "data": orjson.loads(row["data"]),
            "timestamp": row["timestamp"],
            "userId": row["user_id"],
            "seq": row["seq"],
            "receivedAt": iso_ms(row["received_at"]),
            "deviceId": row["device_id"],
            "account": row["account"],
            "outcome": row["outcome"],
            "reason": row["reason"],
            **({} if row["base_seq"] is None else {"baseVersion": row["base_seq"]}),
            **({} if row["applied"] is None else {"applied": orjson.loads(row["applied"])}),
        }
        for row in await log.fetch("SELECT * FROM events ORDER BY seq")
    ]


@dataclass
class Reader:
    """Pulls and keeps what came: the events in their order, the last that was told of each entity, and the cursor."""

    log: Log
    wanted: Wanted = field(default_factory=lambda: Wanted(ACCOUNT, DEVICE, entities=True))
    cursor: str | None = None
    events: list[Json] = field(default_factory=list)
    entities: dict[str, Json] = field(default_factory=dict)

    @property
    def puller(self) -> Puller:
        return Puller(
            self.wanted, AT, partial(self.log.database.inside, self.log.scope, readonly=True), self.log.inside
        )

    async def page(self, limit: int) -> bool:
        """Takes a page, as its JSON says; answers whether there is more."""
        epoch, after = read_cursor(self.cursor)
        async with self.puller.reading() as db:
            part = await pull.read_part(db, self.wanted, pull.page_span(self.wanted, epoch, after, limit), AT)
        page = orjson.loads(pull.page_of(part, self.wanted))
        assert set(page) == {"epoch", "cursor", "more"} | ({"events"} if self.wanted.events else set()) | (
            {"entities"} if self.wanted.entities else set()
        )
        last = read_cursor(page["cursor"])[1]
        assert all(after < each["seq"] <= last for each in page.get("events", []))
        assert all(after < each["version"] <= last for each in page.get("entities", []))
        self.events += page.get("events", [])
        self.keep(page.get("entities", []))
        self.cursor = page["cursor"]
        return bool(page["more"])

    def keep(self, entities: Sequence[Json]) -> None:
        """Takes entities as a device does: never an older version for a newer one."""
        for entity in entities:
            known = self.entities.get(entity["guid"])
            if known is None or known["version"] <= entity["version"]:
                self.entities[entity["guid"]] = entity

    async def pages(self, limit: int) -> None:
        """Takes pages until there are no more."""
        while await self.page(limit):
            pass

    async def stream(self, limit: int | None = None) -> AsyncGenerator[Json, None]:
        """The lines of a stream from the cursor on, not kept."""
        epoch, after = read_cursor(self.cursor)
        async with self.puller.reading() as db:
            part = await pull.read_part(db, self.wanted, pull.step_span(self.wanted, epoch, after, limit), AT)
        async for batch in self.puller.stream(part, limit):
            for line in batch.splitlines():
                yield orjson.loads(line)

    def take(self, line: Json) -> bool | None:
        """Keeps what a line of a stream holds; answers whether there is more, if it is the last line."""
        if "event" in line:
            self.events.append(line["event"])
        elif "entity" in line:
            self.keep([line["entity"]])
        else:
            self.cursor = line["cursor"]
        more: bool | None = line.get("more")
        return more

    async def snapshot(self, form: str | None = None, resume: str | None = None) -> AsyncGenerator[Json, None]:
        """The lines of a snapshot, not kept."""
        async with self.puller.reading() as db:
            progress, total = await snapshot.begin(db, form, resume)
        async for batch in snapshot.stream(self.puller, progress, total):
            for line in batch.splitlines():
                yield orjson.loads(line)
