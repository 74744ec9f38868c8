"""A server is restored from a backup: what its devices hold comes back from them, the rest from a copy of its log."""

import asyncio
import json
import os
import re
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from server.cli import app
from server.db import Database, Scope
from server.db.connection import Row
from server.db.embedded import EmbeddedPostgres
from server.db.embedded.place import find_place
from server.device import Device, NotSignedIn, SyncReport
from server.starting import Addresses
from server.sync.verification.chain import verify_chain
from server.sync.verification.replay import replay
from tests.conftest import PASSWORD, Croft, new_database, small_config, start_croft, upload_of
from tests.croft_process import ROOT, environment, settings_of
from tests.journeys.test_old_devices import comparable
from tests.old_client import OldClient, SyncFailed

TENANT = "north"
SEEDS = range(int(os.environ.get("CROFT_RESTORES", "1")))
COLLECTORS = ("amina", "teo", "keo", "zuri", "omar")
KEEP_WHOLE_HISTORY = frozenset({"amina", "keo", "newcomer"})
RUNBOOK = (ROOT / "deploy/runbooks/restoring-a-backup.md").read_text()
KEPT = "guid, entity_guid, type, data, timestamp, user_id"

T = TypeVar("T")

_serials = count(1)


# Backups, by what an operator has: each call blocks, while no server runs


class Backup(Protocol):
    """Kept copies of an installation's database, and putting one back in its place."""

    is_noticed: bool
    """Whether a server sees by itself that it was put back."""

    @property
    def addresses(self) -> Addresses: ...

    def take(self, name: str) -> None: ...

    def put_back(self, name: str) -> None: ...


class DatabaseCopy:
    """A copy of the database under another name, put back as the very same database: quick, and never noticed."""

    is_noticed = False

    def __init__(self, cluster: EmbeddedPostgres, addresses: Addresses) -> None:
        self.addresses = addresses
        self._cluster = cluster
        self._name, self._oid = self._ask("SELECT datname, oid FROM pg_database WHERE datname = current_database()")

    def take(self, name: str) -> None:
        self._run(f'CREATE DATABASE "{self._name}_{name}" TEMPLATE "{self._name}"')

    def put_back(self, name: str) -> None:
        self._run(f'DROP DATABASE "{self._name}"')
        self._run(f'CREATE DATABASE "{self._name}" TEMPLATE "{self._name}_{name}" OID {self._oid} OWNER croft')
        self._run(f'REVOKE TEMP ON DATABASE "{self._name}" FROM PUBLIC')

    def _run(self, statement: str) -> None:
        asyncio.run(_execute(self._cluster.superuser_dsn(), statement))

    def _ask(self, question: str) -> Row:
        return asyncio.run(_fetch(self.addresses.direct, question))


class Dump:
    """What pg_dump wrote, loaded into a new database by pg_restore."""

    is_noticed = True

    def __init__(self, cluster: EmbeddedPostgres, addresses: Addresses, home: Path) -> None:
        self.addresses = addresses
        self._cluster = cluster
        self._home = home
        self._name = asyncio.run(_fetch(addresses.direct, "SELECT current_database()"))[0]

    def take(self, name: str) -> None:
        self._run("pg_dump", "--format=custom", f"--file={self._home / name}", self._cluster.superuser_dsn(self._name))

    def put_back(self, name: str) -> None:
        for statement in (f'DROP DATABASE "{self._name}"', f'CREATE DATABASE "{self._name}" OWNER croft'):
            asyncio.run(_execute(self._cluster.superuser_dsn(), statement))
        into = f"--dbname={self._cluster.superuser_dsn(self._name)}"
        self._run("pg_restore", "--exit-on-error", into, str(self._home / name))

    def _run(self, program: str, *arguments: str) -> None:
        programs = find_place(self._cluster.home, durable=False).programs
        subprocess.run([programs / program, *arguments], check=True, capture_output=True)


class DataDirectory:
    """A copy of PostgreSQL's files, put back with their owner and permissions."""

    is_noticed = False

    def __init__(self, home: Path) -> None:
        self.postgres = EmbeddedPostgres(home, durable=False)
        self.postgres.start()

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.postgres.dsn(), self.postgres.dsn())

    def take(self, name: str) -> None:
        data = self.postgres.data_directory
        self.postgres.stop()
        _copy(data, data.with_name(name))
        self.postgres.start()

    def put_back(self, name: str) -> None:
        data = self.postgres.data_directory
        self.postgres.stop()
        shutil.rmtree(data)
        _copy(data.with_name(name), data)
        self.postgres.start()


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "--archive", source, target], check=True)


async def _execute(dsn: str, statement: str) -> None:
    db = await asyncpg.connect(dsn)
    try:
        await db.execute(statement)
    finally:
        await db.close()


async def _fetch(dsn: str, question: str) -> Row:
    db = await asyncpg.connect(dsn)
    try:
        row = await db.fetchrow(question)
        assert row is not None
        return row
    finally:
        await db.close()


# The installation and its devices


@dataclass
class Standing:
    """What the server has: events by guid, with what was pushed, and the living entities."""

    epoch: str
    events: dict[str, tuple[Any, ...]]
    entities: dict[str, tuple[Any, ...]]
    known: set[str]

    def without_versions(self) -> dict[str, tuple[Any, ...]]:
        """The entities, but for the number of what touched them last."""
        return {guid: entity[1:] for guid, entity in self.entities.items()}


@dataclass
class Site:
    """One installation at one address. Its devices outlive every restart of the server."""

    backup: Backup
    home: Path
    port: int = field(default_factory=lambda: free_port())
    croft: Croft | None = None
    phones: dict[str, OldClient] = field(default_factory=dict)

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        """The server runs for as long as the block does."""
        async with start_croft(self.backup.addresses, port=self.port) as self.croft:
            yield

    async def found(self) -> None:
        """The tenant and its people, each with a phone or a device."""
        assert self.croft is not None
        made = await self.croft.operator.post("/api/apps", files={"config": upload_of(small_config(TENANT))})
        assert made.status_code == 200, made.text
        for person in COLLECTORS:
            membership = {"configId": TENANT, "role": "collector"}
            account = {"email": mail(person), "password": PASSWORD, "role": "USER", "memberships": [membership]}
            assert (await self.croft.operator.post("/api/users", json=account)).status_code == 201
        for person in ("zuri", "omar"):
            self.phones[person] = OldClient(f"http://127.0.0.1:{self.port}", TENANT)
            await self.phones[person].login(mail(person), PASSWORD)

    async def restore(self, name: str) -> None:
        """As the runbook says: puts the backup back, begins a new epoch where the server cannot know, and serves."""
        await asyncio.to_thread(self.backup.put_back, name)
        if not self.backup.is_noticed:
            begun = await self.run("tenants", "new-epoch", "--all", "--yes")
            assert begun.exit_code == 0, begun.output

    async def run(self, *words: str, given: bytes | None = None) -> Result:
        """`croft` with these words."""
        env = settings_of({"POSTGRES": self.backup.addresses.serving})
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, words, env=env, input=given))

    # Devices

    async def on(self, name: str, work: Callable[[Device], T]) -> T:
        """Does something on a device of the library; its store is kept."""

        def run() -> T:
            whole = name in KEEP_WHOLE_HISTORY
            server = f"http://127.0.0.1:{self.port}"
            with Device(self.home / name, server=server, tenant=TENANT, whole_history=whole) as device:
                return work(device)

        return await asyncio.to_thread(run)

    async def sync(self, *names: str) -> dict[str, SyncReport]:
        """Devices and phones sync, one after the other; who is no longer signed in signs in. Reports of the devices."""
        reports = {}
        for name in names:
            if name in self.phones:
                await self._sync_phone(name)
            else:
                reports[name] = await self.on(name, partial(sync_signed_in, name))
        return reports

    async def _sync_phone(self, name: str) -> None:
        phone = self.phones[name]
        try:
            await phone.sync()
        except SyncFailed as failure:
            if "401" not in str(failure):
                raise
            await phone.login(mail(name), PASSWORD)
            await phone.sync()

    def held(self, name: str) -> dict[str, tuple[Any, ...]]:
        """All events that a device holds and that wait for nobody to correct them."""
        with closing(sqlite3.connect(self.home / name)) as db:
            rows = db.execute(f"SELECT {KEPT} FROM events WHERE status NOT IN ('quarantined', 'set-aside')").fetchall()
        return {guid: (entity, type_, json.loads(data), *rest) for guid, entity, type_, data, *rest in rows}

    # What has to hold

    async def standing(self) -> Standing:
        """What the server has, after making sure that it is right in itself."""
        async with Database(self.backup.addresses.serving, size=1) as database:
            async with database.shared(readonly=True) as db:
                row = await db.fetchrow("SELECT schema_name, role_name FROM tenants WHERE config_id = $1", TENANT)
            assert row is not None
            reading = partial(database.inside, Scope(row["schema_name"], row["role_name"]), readonly=True)
            verdict = await verify_chain(reading)
            assert verdict.fault is None
            async with reading() as db:
                found = await replay(db)
                assert found.is_right, found
            async with reading() as db:
                events = await db.fetch(f"SELECT seq, {KEPT} FROM events ORDER BY seq")
                rows = await db.fetch("SELECT * FROM entities")
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        return Standing(
            epoch=verdict.epoch,
            events={
                each["guid"]: (
                    each["entity_guid"],
                    each["type"],
                    json.loads(each["data"]),
                    each["timestamp"],
                    each["user_id"],
                )
                for each in events
            },
            entities={row["guid"]: shape_of_row(row) for row in rows if row["state"] == "live"},
            known={row["guid"] for row in rows},
        )

    async def expect_nothing_missing(self, *names: str) -> Standing:
        """Whatever any of the devices holds is on the server, once, and all of them show what the server does."""
        standing = await self.standing()
        for name in names:
            held = self.held(name)
            assert held.items() <= standing.events.items(), name
            if name in KEEP_WHOLE_HISTORY:
                assert held == standing.events, name
            assert await self.on(name, shown) == standing.entities, name
            assert await self.on(name, Device.outbox) == [], name
        return standing

    async def expect_phone_follows(self, name: str, standing: Standing) -> set[str]:
        """The phone shows what the server does. Answers the records that only it has."""
        assert self.croft is not None
        entities = self.phones[name].entities()
        for guid in standing.entities:
            answer = await self.croft.operator.get(f"/api/entities/{guid}", params={"configId": TENANT})
            entity = answer.json()
            entity["name"] = entity["name"] or f"Unnamed {entity['type'].title()}"
            assert comparable(entities[guid]) == comparable(entity), f"{name}: {guid}"
        alone = entities.keys() - standing.entities.keys()
        assert alone.isdisjoint(standing.known), name
        return alone


def sync_signed_in(name: str, device: Device) -> SyncReport:
    try:
        return device.sync()
    except NotSignedIn:
        device.sign_in(mail(name if name in COLLECTORS else "teo"), PASSWORD)
        return device.sync()


def shape_of_row(row: Row) -> tuple[Any, ...]:
    form = row["entity_name"] or row["type"]
    return (row["fed_seq"], row["type"], form, row["name"], json.loads(row["data"]), sorted(row["member_ids"]))


def shown(device: Device) -> dict[str, tuple[Any, ...]]:
    return {
        each.guid: (each.version, each.type, each.form, each.name, each.data, sorted(each.member_ids))
        for each in device.entities()
    }


def mail(person: str) -> str:
    return f"{person}@north.test"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where devices keep their stores; commands find no settings but those given."""
    for name in set(os.environ) - {"PATH"}:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
async def site(cluster: EmbeddedPostgres, home: Path) -> AsyncIterator[Site]:
    """An installation whose database can be put back quickly."""
    addresses = await new_database(cluster)
    site = Site(await asyncio.to_thread(DatabaseCopy, cluster, addresses), home)
    yield site
    await close_phones(site)


async def close_phones(site: Site) -> None:
    for phone in site.phones.values():
        await phone.aclose()


@pytest.fixture
def passage() -> Iterator[Path]:
    """A directory through which PostgreSQL's own user may pass."""
    directory = Path(tempfile.mkdtemp(prefix="croft-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(params=["data directory", "dump"])
async def real_site(
    request: pytest.FixtureRequest, cluster: EmbeddedPostgres, home: Path, passage: Path
) -> AsyncIterator[Site]:
    """An installation with the backups that operators have."""
    if request.param == "dump":
        site = Site(await asyncio.to_thread(Dump, cluster, await new_database(cluster), passage), home)
        yield site
    else:
        files = await asyncio.to_thread(DataDirectory, passage / "home")
        site = Site(files, home)
        yield site
        await asyncio.to_thread(files.postgres.destroy)
    await close_phones(site)


# What people do


def person(name: str, **fields: Any) -> dict[str, Any]:
    """The serial keeps phones from taking two people for duplicates."""
    return {"name": name, "entityName": "individual", "serial": next(_serials), **fields}


async def before_the_backup(site: Site) -> None:
    def register(device: Device) -> None:
        device.sign_in(mail("amina"), PASSWORD)
        for number in range(5):
            device.create("individual", f"Person {number}", guid=f"p{number}", phone="0", serial=number)
        device.create_group("household", "Otieno", guid="otieno")
        device.add_member("otieno", "p0")

    await site.found()
    await site.on("amina", register)
    for number in range(3):
        site.phones["zuri"].create_individual(person(f"Zuri's {number}", village="Kibera"), guid=f"z{number}")
    await site.sync("zuri", "amina", "teo", "keo", "zuri", "omar")
    # Keo goes where there is no network.
    await site.on("keo", lambda keo: keo.change("p3", village="far away"))
    await site.on("keo", lambda keo: keo.create("individual", "Keo's", guid="k0"))


async def after_the_backup(site: Site) -> None:
    """All of it is acknowledged. Nobody but Omar's phone ever sees the last of it."""

    def reorganise(teo: Device) -> None:
        teo.change("p1", phone="1")
        teo.delete("p2")
        teo.create_group("household", "Wanjiru", guid="wanjiru")
        teo.add_member("wanjiru", "p3")
        teo.remove_member("otieno", "p0")

    await site.on("teo", reorganise)
    zuri, omar = site.phones["zuri"], site.phones["omar"]
    zuri.whole_form_update("z0", village="Mathare")
    zuri.delete("z1")
    zuri.create_individual(person("Zuri's new one"), guid="z-new")
    await site.sync("teo", "zuri", "newcomer", "amina")
    await site.on("amina", lambda amina: amina.change("p0", phone="2"))
    await site.sync("amina", "teo")
    omar.whole_form_update("p4", phone="4")
    omar.create_individual(person("Omar's new one", village="Karen"), guid="o-new")
    await site.sync("omar")


async def test_whatever_devices_hold_comes_back_after_a_restore(real_site: Site) -> None:
    site = real_site
    async with site.served():
        await before_the_backup(site)
        backed_up = await site.standing()
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        await after_the_backup(site)
        lost = await site.standing()
    await site.restore("monday")
    async with site.served():
        restored = await site.standing()
        assert restored.events == backed_up.events
        assert restored.epoch not in (backed_up.epoch, lost.epoch)
        reports = await site.sync("teo", "newcomer", "amina")
        assert all(report.epoch_changed and report.proven for report in reports.values())
        await site.sync("teo", "newcomer", "zuri", "omar")
        standing = await site.expect_nothing_missing("teo", "newcomer", "amina")
        # What the library's devices had seen is there, phones' events among it; the rest was Omar's phone's alone.
        gone = lost.events.keys() - standing.events.keys()
        assert {lost.events[guid][0] for guid in gone} == {"p4", "o-new"}
        expected = lost.without_versions()
        del expected["o-new"]
        expected["p4"] = backed_up.without_versions()["p4"]
        assert standing.without_versions() == expected
        assert await site.expect_phone_follows("zuri", standing) == set()
        assert await site.expect_phone_follows("omar", standing) == {"o-new"}
        # Weeks later somebody comes back who was offline during all of it.
        report = (await site.sync("keo"))["keo"]
        assert (report.epoch_changed, report.refused) == (True, [])
        await site.sync("amina", "teo", "newcomer", "zuri", "omar")
        standing = await site.expect_nothing_missing("keo", "amina", "teo", "newcomer")
        assert standing.entities["p3"][4]["village"] == "far away"
        assert "k0" in standing.entities
        assert await site.expect_phone_follows("zuri", standing) == set()


async def test_what_only_installed_phones_knew_is_lost_until_somebody_saves_it_again_or_a_copy_is_offered(
    site: Site,
) -> None:
    """What installed phones can do, which never push an event twice, and what an operator can."""
    async with site.served():
        await site.found()
        zuri, omar = site.phones["zuri"], site.phones["omar"]
        for number in range(4):
            zuri.create_individual(person(f"Person {number}", village="Kibera", trade="none"), guid=f"p{number}")
        zuri.create_group(person("Otieno"), guid="otieno")
        zuri.add_member("otieno", {"guid": "m0", **person("Member")})
        await site.sync("zuri", "omar")
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        zuri.create_individual(person("Amina", village="Karen", phone="0700"), guid="new")
        zuri.create_group(person("Wanjiru", roof="tin"), [{"guid": "m1", **person("Child")}], guid="wanjiru")
        zuri.whole_form_update("p0", village="Mathare")
        zuri.whole_form_update("p1", village="Mathare")
        zuri.delete("p2")
        await site.sync("zuri", "omar")
        # Two fill in forms of one record at the same time; each changed another field, so both changes stand.
        zuri.whole_form_update("p3", village="Mathare")
        omar.whole_form_update("p3", trade="weaver")
        await site.sync("zuri", "omar", "zuri")
        lost = await site.standing()
        assert (lost.entities["p3"][4]["village"], lost.entities["p3"][4]["trade"]) == ("Mathare", "weaver")
        copy = (await site.run("tenants", "export", TENANT)).stdout_bytes
        omar.create_individual(person("Waits for a network"), guid="waits")
    await site.restore("monday")
    async with site.served():
        await site.sync("zuri", "omar", "zuri")
        standing = await site.standing()
        # What had not been uploaded comes. What was changed or deleted since is as it was before, on the phones, too.
        assert standing.entities.keys() == {"p0", "p1", "p2", "p3", "otieno", "m0", "waits"}
        assert standing.entities["p0"][4]["village"] == "Kibera"
        assert await site.expect_phone_follows("zuri", standing) == {"new", "wanjiru", "m1"}
        assert zuri.entities()["p0"]["data"]["village"] == "Kibera"
        assert "p2" in zuri.entities()
        # Opened and saved again, a person comes back whole; a group without the members that nobody saves, too.
        zuri.whole_form_update("new")
        zuri.whole_form_update("wanjiru")
        zuri.whole_form_update("m1")
        await site.sync("zuri", "omar")
        standing = await site.standing()
        assert standing.entities["new"][1:5] == lost.entities["new"][1:5]
        assert standing.entities["wanjiru"][1:5] == lost.entities["wanjiru"][1:5]
        assert standing.entities["m1"][1:4] == lost.entities["m1"][1:4]
        assert (lost.entities["wanjiru"][5], standing.entities["wanjiru"][5]) == (["m1"], [])
        # The operator offers the copy, while all goes on: now nothing is missing, and nobody's later work is undone.
        omar.whole_form_update("p1", village="Kayole")
        await site.sync("omar")
        told = await site.run("tenants", "offer", TENANT, "-", given=copy)
        assert told.exit_code == 0, told.output
        await site.sync("zuri", "omar")
        standing = await site.standing()
        assert lost.events.items() <= standing.events.items()
        assert standing.entities["p1"][4]["village"] == "Kayole"
        now, then = standing.without_versions(), lost.without_versions()
        assert {guid: now[guid] for guid in then if guid != "p1"} == {guid: then[guid] for guid in then if guid != "p1"}
        assert now.keys() - then.keys() == {"waits"}
        assert await site.expect_phone_follows("zuri", standing) == set()
        assert await site.expect_phone_follows("omar", standing) == set()


async def test_new_epoch_that_was_forgotten_is_not_too_late(site: Site) -> None:
    """Without one, only a device from beyond the restored head notices; the others go on as if nothing had happened."""
    async with site.served():
        await before_the_backup(site)
        backed_up = await site.standing()
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        await after_the_backup(site)
        lost = await site.standing()
    await asyncio.to_thread(site.backup.put_back, "monday")
    async with site.served():
        report = (await site.sync("amina"))["amina"]
        assert (report.epoch_changed, report.known) == (True, len(backed_up.events))
        standing = await site.expect_nothing_missing("amina")
        assert standing.epoch == backed_up.epoch
        report = (await site.sync("teo"))["teo"]
        assert not report.epoch_changed
        assert await site.on("teo", shown) != standing.entities
        assert (await site.run("tenants", "new-epoch", TENANT, "--yes")).exit_code == 0
        await site.sync("teo", "newcomer", "amina", "zuri", "omar")
        standing = await site.expect_nothing_missing("amina", "teo", "newcomer")
        assert lost.entities.keys() - standing.entities.keys() == {"o-new"}
        assert await site.expect_phone_follows("zuri", standing) == set()


class FieldWork:
    """Random acts of all devices, each on what it shows at that moment."""

    def __init__(self, site: Site, seed: int) -> None:
        self._site = site
        self._random = Random(seed)
        self._names = ["amina", "teo", "newcomer", "zuri", "omar"]

    async def go_on(self, acts: int) -> None:
        for _ in range(acts):
            name = self._random.choice(self._names)
            if self._random.random() < 0.4:
                await self._site.sync(name)
            elif name in self._site.phones:
                self._act_on_phone(self._site.phones[name])
            else:
                await self._site.on(name, self._act)

    def _act(self, device: Device) -> None:
        held = sorted(each.guid for each in device.entities())
        groups = sorted(each.guid for each in device.find(type="group"))
        choose = self._random.choice
        acts: list[Callable[[], Any]] = [
            lambda: device.create("individual", f"Person {next(_serials)}"),
            lambda: device.create_group("household", f"Camp {next(_serials)}"),
        ]
        if held:
            acts += [lambda: device.change(choose(held), self._fields())] * 3
            acts += [lambda: device.delete(choose(held))]
        if groups:
            acts += [lambda: device.add_member(choose(groups), choose(held))]
        choose(acts)()

    def _act_on_phone(self, phone: OldClient) -> None:
        people = sorted(guid for guid, each in phone.entities().items() if each["type"] == "individual")
        if people and self._random.random() < 0.7:
            phone.whole_form_update(self._random.choice(people), **self._fields())
        elif people and self._random.random() < 0.3:
            phone.delete(self._random.choice(people))
        else:
            phone.create_individual(person(f"Phone's {next(_serials)}"))

    def _fields(self) -> dict[str, Any]:
        return {self._random.choice(("village", "trade")): self._random.randrange(10)}


@pytest.mark.parametrize("seed", SEEDS)
async def test_two_restores_amid_random_work_lose_nothing_that_devices_hold(site: Site, seed: int) -> None:
    work = FieldWork(site, seed)
    async with site.served():
        await before_the_backup(site)
        await site.sync("newcomer")
        await work.go_on(15)
    await asyncio.to_thread(site.backup.take, "monday")
    epochs = set()
    for _ in range(2):
        async with site.served():
            epochs.add((await site.standing()).epoch)
            await work.go_on(25)
        # The same backup again, whatever had come back meanwhile.
        await site.restore("monday")
    async with site.served():
        for _ in range(2):
            await site.sync("keo", "amina", "teo", "newcomer", "zuri", "omar")
        await site.sync("keo", "amina", "teo", "newcomer")
        standing = await site.expect_nothing_missing("keo", "amina", "teo", "newcomer")
        assert len({standing.epoch, *epochs}) == 3
        for name in site.phones:
            await site.expect_phone_follows(name, standing)


# What counts of a phone's event that a device gives back


async def test_whole_form_that_a_device_gives_back_counts_for_no_more_than_before(site: Site) -> None:
    async with site.served():
        await site.found()
        zuri, omar = site.phones["zuri"], site.phones["omar"]
        zuri.create_individual(person("Grace", village="Kibera", trade="none"), guid="p")
        await site.sync("zuri", "omar", "amina")
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        zuri.whole_form_update("p", village="Mathare")
        omar.whole_form_update("p", trade="weaver")
        await site.sync("zuri", "omar", "amina")
        lost = await site.standing()
    await site.restore("monday")
    async with site.served():
        await site.sync("amina")
        standing = await site.standing()
        assert standing.without_versions()["p"] == lost.without_versions()["p"]


async def test_librarys_own_update_that_a_device_gives_back_changes_nothing(site: Site) -> None:
    async with site.served():
        await site.found()
        zuri, omar = site.phones["zuri"], site.phones["omar"]
        zuri.create_group(person("Otieno"), [{"guid": "m", **person("Member")}], guid="g")
        await site.sync("zuri", "omar", "amina")
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        omar.delete("m")
        omar.load_group("g")
        await site.sync("omar", "amina")
        lost = await site.standing()
    await site.restore("monday")
    async with site.served():
        await site.sync("amina")
        standing = await site.standing()
        assert standing.without_versions()["g"] == lost.without_versions()["g"]


# The runbook, to the letter


async def run_in_shell(site: Site, home: Path, line: str) -> None:
    """Runs a line as cron does, but with a directory of the test's own in place of the machine's."""
    (home / "croft").write_text(f'#!/bin/sh\nexec {sys.executable} -m server "$@"\n')
    (home / "croft").chmod(0o755)
    here = line.replace("/var/backups/croft", str(home)).replace("/usr/local/sbin", str(home))
    env = environment(**settings_of({"POSTGRES": site.backup.addresses.serving}))
    ran = await asyncio.to_thread(
        subprocess.run, ["/bin/sh", "-c", here], capture_output=True, text=True, env=env, cwd="/"
    )
    assert ran.returncode == 0, (ran.stdout, ran.stderr)


async def run_line(site: Site, home: Path, line: str, typed: str = "") -> str:
    """What a line of the runbook writes; fails where it fails."""
    command, _, file = line.partition(" < ")
    given = (home / file.removeprefix("/var/backups/croft/")).read_bytes() if file else typed.encode()
    ran = await site.run(*shlex.split(command.removeprefix("croft ")), given=given)
    assert ran.exit_code == 0, (line, ran.output)
    return ran.stdout


def modes_of(directory: Path, pattern: str) -> dict[str, int]:
    return {each.name: each.stat().st_mode & 0o777 for each in directory.glob(pattern)}


def commands_of_the_runbook() -> list[str]:
    return re.findall(r"^ +(croft .*?)(?: +#.*)?$", RUNBOOK, re.MULTILINE)


async def test_runbook_works_as_it_stands(site: Site, home: Path) -> None:
    [nightly] = re.findall(r"^ +15 4 \* \* \* root (.*)$", RUNBOOK, re.MULTILINE)
    [listing] = re.findall(r"^ +20 4 \* \* \* root (.*)$", RUNBOOK, re.MULTILINE)
    async with site.served():
        await before_the_backup(site)
    await asyncio.to_thread(site.backup.take, "monday")
    async with site.served():
        await after_the_backup(site)
        erased = await site.run("persons", "erase", TENANT, "p4", "--yes")
        assert erased.exit_code == 0, erased.output
        lost = await site.standing()
        await run_in_shell(site, home, nightly)
        await run_in_shell(site, home, listing)
    assert modes_of(home, "north.*") == {"north.ndjson": 0o600, "north.erasures.ndjson": 0o600}
    await asyncio.to_thread(site.backup.put_back, "monday")
    migrate, every, one, dry_run, offer, dry_erasure, erase_again = commands_of_the_runbook()
    await run_line(site, home, migrate)
    assert "begins a new epoch" in await run_line(site, home, every, typed="all\n")
    assert "begins a new epoch" in await run_line(site, home, one, typed="north\n")
    assert "Dry run: nothing was written." in await run_line(site, home, dry_run)
    assert "  0 refused\n" in await run_line(site, home, offer)
    assert "1 persons" in await run_line(site, home, dry_erasure.replace("/var/backups/croft", str(home)))
    again = await run_line(site, home, erase_again.replace("/var/backups/croft", str(home)))
    assert "1 erased. Emptied: 1 events." in again
    async with site.served():
        standing = await site.standing()
        assert standing.events == lost.events
        assert standing.entities == lost.entities
        await site.sync("omar", "teo")
        assert await site.expect_phone_follows("omar", standing) == set()
        await site.expect_nothing_missing("teo")
