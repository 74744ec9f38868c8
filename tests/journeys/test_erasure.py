"""A person is planted wherever the server can hold anything, and erased: afterwards nothing of her is anywhere."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from server.audit.chain import verify as verify_acts
from server.conflicts.finding import note_conflicts
from server.db import Connection, Database
from server.db.embedded import EmbeddedPostgres
from server.db.scope import quoted
from server.device import Device
from server.duplicates.queries import lock_progress
from server.entities.erasing import fields_without
from server.sync.epoch import begin_epoch
from server.sync.intake import Refusal
from server.sync.log_copies.offering import Log, offer
from server.sync.log_copies.reading import DEVICE, Terms, read_lines
from server.sync.log_copies.writing import copy_log
from server.sync.push import Source
from server.sync.rebuilding import rebuild
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from server.tenants.model import TENANT_COLUMNS, Tenant, tenant_from
from tests.conftest import PASSWORD, Croft, TenantHandle, new_database, small_config, start_croft, upload_of

TELLING = "qzx"
"""Stands in every text of hers, runs of three letters included, and nowhere else."""

HER = "7f9c24e8-3b1d-4c55-9a60-1d2e3f405162"
SEEDED = "2ab0c1d2-0000-4000-8000-00000000beef"
FRIEND = "5d0e8a11-7777-4ccc-8ddd-aabbccddeeff"
GROUP = "91c0ffee-1111-4222-8333-444455556666"
INNER = "91c0ffee-2222-4222-8333-444455556666"
OTHER = "0aa7b3c4-9999-4888-8777-666655554444"

_times = count()
_guids = count(1)


def text(what: str) -> str:
    return f"Qzx {what} Qzxverrin"


def event(type_: str, entity: str, data: dict[str, Any], **more: Any) -> dict[str, Any]:
    seconds = next(_times)
    return {
        "guid": f"event-{next(_guids):04}",
        "entityGuid": entity,
        "type": type_,
        "data": data,
        "timestamp": f"2025-03-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.000Z",
        "userId": "7",
        **more,
    }


def entry(guid: str, what: str, **more: Any) -> dict[str, Any]:
    return {"guid": guid, "name": text(what), "phone": text(f"{what} phone"), **more}


SON = {"guid": OTHER, "name": "Son"}
ROW = {"name": text("seed"), "address": {"street": text("street")}}


def config(config_id: str) -> dict[str, Any]:
    return {
        **small_config(config_id),
        "entityData": [
            {"name": "household", "data": [{"id": "hh", "name": "Seeded household"}]},
            {
                "name": "individual",
                "data": [
                    {"id": SEEDED, "parentId": "hh", **ROW},
                    {"name": "Neighbour", "knows": {"guid": HER, "name": text("neighbour's friend")}},
                    ROW,
                ],
            },
        ],
    }


@dataclass
class World:
    """A tenant in which she is everywhere. `hers` are all guids that are to be erased."""

    croft: Croft
    cluster: EmbeddedPostgres
    handle: TenantHandle
    home: Path
    clients: dict[str, httpx.AsyncClient] = field(default_factory=dict)
    hers: list[str] = field(default_factory=list)

    @property
    def api(self) -> httpx.AsyncClient:
        return self.clients["admin"]

    async def call(self, method: str, path: str, *, status: int = 200, by: str = "admin", **more: Any) -> Any:
        headers = {"X-Tenant-Id": self.handle.config_id, **more.pop("headers", {})}
        answer = await self.clients[by].request(method, path, headers=headers, **more)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def push(self, *events: dict[str, Any], by: str = "phone") -> list[dict[str, Any]]:
        answer = await self.call("POST", "/api/sync/push", by=by, json={"events": list(events)})
        return list(answer["events"])

    async def push_v2(self, *events: dict[str, Any], device: str = "tablet") -> dict[str, Any]:
        headers = {"X-Device-Id": device}
        answer = await self.call(
            "POST", "/api/v2/sync/push", by="tablet", headers=headers, json={"events": list(events)}
        )
        return dict(answer)

    async def report(self, *entries: dict[str, Any]) -> None:
        await self.call("POST", "/api/sync/push/audit-logs", by="phone", json={"auditLogs": list(entries)})

    async def upload(self) -> None:
        document = config(self.handle.config_id)
        answer = await self.croft.operator.post("/api/apps", files={"config": upload_of(document)})
        assert answer.status_code == 200, answer.text

    async def erase(self, guid: str) -> dict[str, Any]:
        body = {"reason": "on request", "confirm": guid}
        return dict(await self.call("POST", f"/api/persons/{guid}/erase", json=body))

    async def others(self) -> dict[str, dict[str, Any]]:
        """What stands for everybody else, but for that she is in their groups, and for what they say of her."""
        async with self.database() as (database, tenant), database.inside(tenant.scope, readonly=True) as db:
            rows = await db.fetch(
                "SELECT guid, state, type, name, entity_name, external_id, data::text AS data, member_ids FROM entities"
            )
        told = {}
        for row in rows:
            if row["guid"] not in self.hers:
                data = fields_without(json.loads(row["data"]), self.hers)
                members = [guid for guid in row["member_ids"] if guid not in self.hers]
                told[row["guid"]] = {**row, "data": data, "member_ids": members}
        return told

    async def erase_all(self) -> None:
        for guid in self.hers:
            await self.erase(guid)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[tuple[Database, Tenant]]:
        async with Database(self.croft.addresses.serving, size=2) as database:
            async with database.shared() as db:
                row = await db.fetchrow(
                    f"SELECT {TENANT_COLUMNS} FROM tenants t WHERE config_id = $1", self.handle.config_id
                )
            assert row is not None
            yield database, tenant_from(row)

    async def where_she_is(self) -> list[str]:
        """The columns of all tables in the database, the planner's samples among them, that hold a text of hers."""
        database = self.croft.addresses.direct.rsplit("/", 1)[1].split("?")[0]
        db = await asyncpg.connect(self.cluster.superuser_dsn(database))
        try:
            return sorted({place async for place in _places(db)})
        finally:
            await db.close()

    async def assert_right(self) -> None:
        """The log is whole, the rows are what it gives, and the records of acts are whole."""
        async with self.database() as (database, tenant):
            reading = partial(database.inside, tenant.scope, readonly=True)
            assert (await verify_chain(reading)).fault is None
            async with reading() as db:
                found = await replay(db)
            assert found.is_right, found
            assert (await verify_acts(reading, "tenant")).fault is None
            assert (await verify_acts(partial(database.shared, readonly=True), "operators")).fault is None


async def _places(db: Connection) -> AsyncIterator[str]:
    columns = await db.fetch(
        """
        SELECT n.nspname AS schema, c.relname AS name, a.attname AS col
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relkind IN ('r', 'm', 'p') AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
          AND a.attnum > 0 AND NOT a.attisdropped
        """
    )
    assert {"croft"} < {row["schema"] for row in columns}
    for row in columns:
        values = await db.fetch(
            f"SELECT {quoted(row['col'])} AS value FROM {quoted(row['schema'])}.{quoted(row['name'])}"
        )
        if any(tells(value["value"]) for value in values):
            yield f"{row['name']}.{row['col']}"
    samples = await db.fetch(
        """
        SELECT tablename, attname, most_common_vals::text, histogram_bounds::text, most_common_elems::text
        FROM pg_stats WHERE schemaname NOT LIKE 'pg\\_%' AND schemaname <> 'information_schema'
        """
    )
    for row in samples:
        if any(tells(value) for value in row.values()):
            yield f"samples of {row['tablename']}.{row['attname']}"


def tells(value: object) -> bool:
    """Whether a value of the database holds a text of hers, in bytes too."""
    if isinstance(value, bytes):
        return TELLING.encode() in value.lower()
    if isinstance(value, list | tuple):
        return any(map(tells, value))
    return TELLING in str(value).lower()


async def plant(world: World) -> None:
    """She comes by every way in."""
    her = {"name": text("name"), "nationalId": "448-812-991", "phone": text("phone"), "externalId": text("external")}
    await world.push(
        event("create-individual", HER, her),
        event("create-individual", FRIEND, {"name": "Friend", "knows": {"guid": HER, "name": text("word")}}),
        event(
            "create-group", GROUP, {"name": "Family", "members": [entry(HER, "member"), {"guid": OTHER, "name": "Son"}]}
        ),
        event(
            "update-group",
            GROUP,
            {
                "head": {"guid": HER, "name": text("head")},
                "members": [{"guid": INNER, "type": "group", "name": "Inner", "members": [entry(HER, "nested")]}],
            },
        ),
        event("add-member", GROUP, {"members": [entry(HER, "added")], "note": text("note")}),
        event("add-member", GROUP, {"members": [SON, entry(HER, "ignored")]}),
        event("visited", HER, {"note": text("visit")}),
        event("visited", GROUP, {"met": [entry(HER, "met")], HER: {"note": text("keyed")}, "note": "all were there"}),
        event(
            "resolve-duplicate",
            OTHER,
            {
                "duplicates": [{"entityGuid": OTHER, "duplicateGuid": HER, "name": text("pair")}],
                "shouldDelete": False,
                "why": text("why"),
            },
        ),
        event("add-member", "unknown-group", {"members": [entry(HER, "waiting")]}),
    )
    await world.push(
        event("create-individual", "lookalike", {"name": "Ordinary", "nationalId": "448812991"}), by="admin"
    )
    await world.call("GET", "/api/sync/pull", by="phone")
    await world.push(event("update-individual", HER, {**her, "village": text("village")}))
    await world.push_v2(event("update-individual", HER, {text("field"): 1, "village": text("other")}, baseVersion=1))
    await world.push_v2(
        event("update-individual", HER, {"village": text("third"), text("field"): 2}, baseVersion=1), device="second"
    )
    await world.push({"guid": "bad", "entityGuid": HER, "type": "create-individual", "data": her})
    await world.push(
        {"guid": "worse", "entityGuid": GROUP, "type": "update-group", "data": {"members": [entry(HER, "q")]}}
    )
    await world.push({"guid": "worst", "person": HER, "note": text("scrap")})
    await world.report(
        _report("audit-1", HER, {"name": {"old": text("old"), "new": text("new")}}),
        _report("audit-2", GROUP, {"members": {"new": [entry(HER, "audited")]}}),
        {"guid": "audit-3", "entityGuid": HER, "changes": text("unreadable")},
    )
    await world.handle.as_owner(
        f"INSERT INTO external_state VALUES ('openspp', '{HER}', '{text('outside')}', 1) RETURNING 1"
    )
    told = json.dumps({"after": {"guid": HER, "name": text("told")}})
    await world.handle.as_owner(f"SELECT append_act('7', '', '', 'value.changed', 'entity:{HER}', NULL, '{told}')")
    await world.upload()
    await world.call("GET", "/api/potential-duplicates")
    await world.handle.as_owner("ANALYZE")


def _report(guid: str, entity: str, changes: dict[str, Any]) -> dict[str, Any]:
    return {
        "guid": guid,
        "timestamp": "2025-03-01T08:00:00.000Z",
        "action": "update",
        "eventGuid": "event-0001",
        "entityGuid": entity,
        "changes": changes,
        "signature": text("signature"),
    }


@pytest.fixture
async def world(cluster: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[World]:
    async with start_croft(await new_database(cluster)) as croft:
        handle = await croft.tenant(config("north"))
        world = World(croft, cluster, handle, tmp_path)
        for name, role in (("admin", "admin"), ("phone", "collector"), ("tablet", "collector")):
            world.clients[name] = await handle.caller(role)
        await plant(world)
        derived = await handle.as_owner(
            "SELECT guid FROM entities WHERE name LIKE 'Qzx seed%' AND guid <> '" + SEEDED + "'"
        )
        world.hers = [HER, SEEDED, derived]
        yield world


PLANTED = {
    "audit_log.changes",
    "audit_log.signature",
    "config_versions.document",
    "conflicts.field",
    "entities.data",
    "entities.external_id",
    "entities.name",
    "entities.name_parts",
    "events.applied",
    "events.data",
    "external_state.external_id",
    "quarantine.raw",
    "acts.details",
}


async def test_planted_person_is_nowhere_in_the_database_once_she_is_erased(world: World) -> None:
    planted = await world.where_she_is()
    assert set(planted) >= PLANTED, PLANTED - set(planted)
    assert any(place.startswith("samples of entities") for place in planted)
    others = await world.others()
    await world.erase_all()
    assert await world.where_she_is() == []
    await world.assert_right()
    assert await world.others() == others
    once_more = await world.erase(HER)
    assert once_more["emptied"] == {}
    assert await world.where_she_is() == []
    await world.assert_right()


async def test_phones_and_devices_delete_her_at_their_next_sync(world: World) -> None:
    phone = await world.handle.device()
    await phone.sync()
    device = Device(world.home / "device", server=world.croft.url, tenant=world.handle.config_id)
    with device:
        await asyncio.to_thread(device.sign_in, await world.handle.account(), PASSWORD)
        await asyncio.to_thread(device.sync)
        await asyncio.to_thread(lambda: device.change(HER, village=text("device")))
        await asyncio.to_thread(device.sync)
        assert HER in phone.entities()
        assert device.get(HER) is not None
        assert TELLING in _held_by(device).lower()
        await world.erase_all()
        await phone.sync()
        report = await asyncio.to_thread(device.sync)
        assert not phone.entities().keys() & set(world.hers)
        assert TELLING not in json.dumps(phone.entities()).lower()
        assert device.get(HER) is None
        assert TELLING not in _held_by(device).lower()
        assert report.proven
        assert device.get(GROUP) is not None
        # Her guid is all that a new epoch makes it offer.
        async with world.database() as (database, tenant), database.inside(tenant.scope) as db:
            await begin_epoch(db)
        report = await asyncio.to_thread(device.sync)
        assert report.epoch_changed
        assert [each.guid for each in device.refused()] == []
    assert await world.where_she_is() == []
    await world.assert_right()


async def test_what_arrives_late_brings_nothing_of_her_back(world: World) -> None:
    others = await world.others()
    await world.erase_all()
    later = {"timestamp": "2099-01-01T00:00:00.000Z"}
    fates = await world.push(
        event("create-individual", HER, {"name": text("late")}),
        event("create-individual", HER, {"name": text("later")}, **later),
        event("update-individual", HER, {"name": text("late"), "village": text("late")}, **later),
        event("add-member", GROUP, {"members": [entry(HER, "late")]}, **later),
        event(
            "update-group", GROUP, {"members": [entry(HER, "late")], "head": {"guid": HER, "name": text("l")}}, **later
        ),
        event("visited", HER, {"note": text("late")}),
    )
    ignored = {"members": [SON, entry(HER, "ignored")]}
    fates += await world.push(event("add-member", GROUP, ignored, **later))
    assert {each["status"] for each in fates} <= {"accepted", "waiting", "without-effect"}
    known = event("update-individual", HER, {"village": text("v2")})
    answer = await world.push_v2(known, event("create-group", "new", {"name": "New", "members": [entry(HER, "v2")]}))
    assert answer["events"][0]["status"] in ("accepted", "without-effect")
    assert (await world.push_v2(known))["events"][0]["status"] == "known"
    await world.push({"guid": "bad late", "entityGuid": HER, "type": "create-individual", "data": {"name": text("l")}})
    await world.report(
        _report("audit-late-1", HER, {"name": text("late")}),
        _report("audit-late-2", GROUP, {"members": [entry(HER, "late")]}),
    )
    await world.upload()
    await world.call("POST", f"/api/apps/{world.handle.config_id}/rollback", json={"number": 1})
    assert await world.where_she_is() == []
    await world.assert_right()
    await world.call("GET", f"/api/entities/{HER}", status=404)
    assert HER not in (await world.call("GET", f"/api/entities/{GROUP}"))["memberIds"]
    del others[GROUP]
    assert others.items() <= (await world.others()).items()
    assert len((await world.call("GET", f"/api/v2/sync/receipts/{answer['receipt']['first']}"))["hash"]) == 64


async def test_log_without_her_is_copied_offered_and_rebuilt(world: World) -> None:
    await world.erase_all()
    before = await world.others()
    async with world.database() as (database, tenant):
        reading = partial(database.inside, tenant.scope, readonly=True)
        copy = b"".join([lines async for lines, _, _ in copy_log(reading)])
        assert TELLING.encode() not in copy.lower()
        file = world.home / "north.ndjson"
        file.write_bytes(copy)
        terms = Terms(Source("command-line", DEVICE, datetime.now(UTC)), timedelta(minutes=5))
        refused: list[Refusal] = []
        with file.open("rb") as lines:
            log = Log(reading, partial(database.inside, tenant.scope), note_conflicts)
            offers = offer(log, read_lines(lines, terms), terms, lambda _, refusal: refused.append(refusal))
            offered = [each async for each in offers][-1]
        assert (offered.taken, refused) == (0, [])
        async with database.inside(tenant.scope) as db:
            await lock_progress(db)
            assert (await rebuild(db)).differing == []
        other = await world.croft.tenant(small_config("south"))
    assert await world.others() == before
    south = replace(world, handle=other)
    async with south.database() as (database, tenant):
        with file.open("rb") as lines:
            log = Log(
                partial(database.inside, tenant.scope, readonly=True),
                partial(database.inside, tenant.scope),
                note_conflicts,
            )
            offers = offer(log, read_lines(lines, terms), terms, lambda _, refusal: refused.append(refusal))
            offered = [each async for each in offers][-1]
        assert (offered.taken, refused) == (offered.events, [])
    await south.assert_right()
    live = {guid for guid, row in (await south.others()).items() if row["state"] == "live"}
    assert {guid for guid, row in before.items() if row["state"] == "live"} <= live
    assert not live & set(world.hers)


def _held_by(device: Device) -> str:
    return "\n".join(device._store._db.iterdump())
