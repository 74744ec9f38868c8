"""Provisioning is all or nothing, whoever else is at it."""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.audit import Author
from server.db import Database, scoped
from server.db.migrations import tenant_migrations
from server.duplicates.finding import load_and_find_pairs
from server.starting import prepare
from server.tenants import queries
from server.tenants.provisioning import STEPS, schema_stem
from server.tenants.uploading import apply_config
from tests.conftest import KEYRING, Croft, small_config, upload_of
from tests.server.tenants.conftest import standing

SEEDED = {
    "entityData": [
        {"name": "household", "data": [{"id": "h1", "name": "Okonkwo"}, {"id": "h2", "name": "Haddad"}]},
        {"name": "individual", "data": [{"id": "p1", "name": "Adaeze Okonkwo", "parentId": "h1"}]},
    ]
}
SCRIPT = Path(__file__).parent / "provision_and_wait.py"


class Broken(Exception):
    """The failure that a test injects."""


@pytest.mark.parametrize("broken_step", STEPS)
async def test_failure_at_any_step_leaves_nothing(database: Database, broken_step: str) -> None:
    config = {**small_config(f"broken-{broken_step}"), **SEEDED}

    async def break_at(step: str) -> None:
        if step == broken_step:
            raise Broken

    async with database.shared() as db:
        before = await standing(db)
    with pytest.raises(Broken):
        async with database.shared() as db:
            await apply_config(db, config, Author("test"), load_and_find_pairs, KEYRING, on_step=break_at)
    async with database.shared() as db:
        assert await standing(db) == before


@pytest.mark.parametrize("last_step", STEPS)
async def test_kill_at_any_step_and_a_start_leave_nothing(croft: Croft, database: Database, last_step: str) -> None:
    config_id = f"killed-{last_step}"
    async with database.shared() as db:
        before = await standing(db)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        croft.addresses.direct,
        config_id,
        last_step,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
        env={"PYTHONPATH": "."},
    )
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).decode().strip() == last_step
    finally:
        process.kill()
        await process.wait()
    await prepare(croft.settings, croft.addresses, migrate=True)
    async with database.shared() as db:
        # The killed one held this lock: it is free as soon as PostgreSQL has noticed.
        await queries.lock_config_id(db, config_id)
        assert await standing(db) == before


async def test_tenant_has_all_that_its_schema_needs(croft: Croft, database: Database) -> None:
    tenant = await croft.tenant({**SEEDED, "customEventTypes": ["vaccinate"], "duplicates": {"blockSync": True}})
    async with database.shared() as db:
        found = await queries.find_tenant(db, tenant.config_id)
        assert found is not None
        assert found.schema_version == tenant_migrations()[-1].id
        assert (found.config_number, found.entities_count) == (1, 3)
        async with scoped(db, found.scope):
            head = await db.fetchrow("SELECT epoch, base, head, length(carrier_key) AS key_length FROM sync_head")
            settings = {row["name"]: json.loads(row["value"]) for row in await db.fetch("SELECT * FROM settings")}
            entities = {row["guid"]: row["type"] for row in await db.fetch("SELECT guid, type FROM entities")}
    assert head is not None
    assert len(head["epoch"]) >= 8
    assert head["head"] > 0
    assert head["key_length"] == 32
    assert settings["custom-event-types"] == ["vaccinate"]
    assert settings["duplicates"] == {"rules": None, "blockSync": True}
    assert entities == {"h1": "group", "h2": "group", "p1": "individual"}


async def test_tenants_role_may_not_enter_another_schema(croft: Croft, database: Database) -> None:
    mine, theirs = await croft.tenant(), await croft.tenant()
    async with database.shared() as db:
        own = await queries.find_tenant(db, mine.config_id)
        other = await queries.find_tenant(db, theirs.config_id)
        assert own is not None
        assert other is not None
        allowed = await db.fetchrow(
            "SELECT has_schema_privilege($1, $2, 'USAGE') AS own, has_schema_privilege($1, $3, 'USAGE') AS other, "
            "has_schema_privilege($1, $2, 'CREATE') AS create, has_schema_privilege($1, 'croft', 'USAGE') AS shared",
            own.role,
            own.schema,
            other.schema,
        )
    assert allowed is not None
    assert dict(allowed) == {"own": True, "other": False, "create": False, "shared": False}


async def test_fifty_uploads_of_different_configs_make_fifty_tenants(croft: Croft) -> None:
    configs = [small_config(f"crowd-{number}") for number in range(50)]
    answers = await asyncio.gather(
        *(croft.operator.post("/api/apps", files={"config": upload_of(config)}) for config in configs)
    )
    assert Counter(answer.status_code for answer in answers) == {200: 50}
    listed = await croft.operator.get("/api/apps", params={"search": "crowd-", "pageSize": 100})
    assert {app["id"] for app in listed.json()["data"]} == {config["id"] for config in configs}
    assert {app["artifactId"] for app in listed.json()["data"]} == {a.json()["artifactId"] for a in answers}


async def test_ten_uploads_of_one_config_make_one_tenant_with_ten_versions(croft: Croft) -> None:
    config = {**small_config("one-of-ten"), **SEEDED}
    answers = await asyncio.gather(
        *(croft.operator.post("/api/apps", files={"config": upload_of(config)}) for _ in range(10))
    )
    assert Counter(answer.status_code for answer in answers) == {200: 10}
    assert sorted(answer.json()["number"] for answer in answers) == list(range(1, 11))
    assert len({answer.json()["artifactId"] for answer in answers}) == 1
    listed = (await croft.operator.get("/api/apps", params={"search": "one-of-ten"})).json()
    assert [app["entitiesCount"] for app in listed["data"]] == [3]


async def test_config_ids_that_differ_in_case_or_sign_are_different_tenants(croft: Croft) -> None:
    ids = ["Twin-a", "twin-a", "twin_a", "TWIN-A"]
    for config_id in ids:
        answer = await croft.operator.post("/api/apps", json={"id": config_id, "name": config_id})
        assert answer.json()["number"] == 1
    for config_id in ids:
        assert (await croft.operator.get(f"/api/apps/{config_id}")).json()["name"] == config_id


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_-]*", fullmatch=True))
def test_schema_names_are_lower_case_and_short(config_id: str) -> None:
    stem = schema_stem(config_id)
    assert set(stem) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")
    assert len(stem) <= 63 - len("_0123456789")
