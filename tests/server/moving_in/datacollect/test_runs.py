"""Runs: dry ones, second ones, ones that are broken off, and what is refused."""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path
from typing import Any

import pytest

from server.audit import Author
from server.db import Database, Scope, scoped
from server.db.scope import SHARED_SCHEMA
from server.moving_in.datacollect import events, reasons
from server.moving_in.datacollect.accounts import Access
from server.starting import Addresses
from server.tenants import lifecycle
from server.tenants.queries import find_live_tenant, owner_role
from tests.croft_process import environment, settings_of
from tests.server.moving_in.datacollect.moving import Steps, head_of, inside, move, records_of
from tests.server.moving_in.datacollect.reference import ARTIFACT, SOUTH_ARTIFACT, Reference, fill

AT = "2024-05-01T00:00:{:02d}.000Z"
_PATIENCE_SECONDS = 60


class BrokenOff(Exception):
    pass


async def count(database: Database, table: str) -> int:
    async with database.shared() as db:
        return int(await db.fetchval(f"SELECT count(*) FROM {table}"))


async def state_of(database: Database, config_id: str) -> str:
    async with database.shared() as db:
        tenant = await find_live_tenant(db, config_id)
    return "none" if tenant is None else tenant.state


async def people(reference: Reference, tenant: str, number: int) -> None:
    """So many people with an event each."""
    for each in range(number):
        await reference.event(
            tenant, f"{tenant}-{each}", f"p{each}", "create-individual", {"name": f"P{each}"}, AT.format(each % 60)
        )


# Dry runs


async def test_dry_run_counts_and_writes_nothing(reference: Reference, database: Database) -> None:
    await fill(reference)
    fingerprint = await reference.fingerprint()
    dry = await move(reference, database, dry_run=True)
    assert [await count(database, table) for table in ("tenants", "users", "audit")] == [0, 0, 0]
    assert await reference.fingerprint() == fingerprint
    counts = dry.report.counts["north"]
    assert (counts["events"], counts["refused"], counts["entries"], counts["pairs"]) == (22, 9, 4, 2)

    real = await move(reference, database)
    assert [real.report.counts["north"][name] for name in ("events", "refused")] == [22, 9]
    assert len(dry.told(reasons.BAD_EVENT)) == len(real.told(reasons.BAD_EVENT))


# Second runs


async def test_second_run_takes_what_is_new_and_what_came_late(reference: Reference, database: Database) -> None:
    await reference.config("north", ARTIFACT)
    await people(reference, "north", 3)
    await move(reference, database)
    await reference.event("north", "late", "p0", "update-individual", {"late": True}, "2023-01-01T00:00:00Z")
    await reference.event("north", "new", "p9", "create-individual", {"name": "New"}, "2024-06-01T00:00:00Z")
    await reference.user("new@field.test")
    again = await move(reference, database)
    counts = again.report.counts["north"]
    assert (counts["events"], counts["known"]) == (2, 3)
    assert again.report.counts[""]["accounts"] == 1
    records = await records_of(database, "north")
    assert records["p0"][2] == {"name": "P0", "late": True}
    assert "p9" in records


async def test_what_was_changed_here_between_runs_stays(reference: Reference, database: Database) -> None:
    await reference.config("north", ARTIFACT)
    for email in ("gone@field.test", "left@field.test"):
        await reference.user(email)
    await move(reference, database)
    async with database.shared() as db:
        await db.execute("DELETE FROM users WHERE email = 'gone@field.test'")
        await db.execute(
            "DELETE FROM memberships WHERE user_id = (SELECT id FROM users WHERE email = 'left@field.test')"
        )
        await lifecycle.suspend(db, "north", Author("1"))
    await move(reference, database)
    async with database.shared() as db:
        assert await db.fetchval("SELECT array_agg(email) FROM users") == ["left@field.test"]
        assert await db.fetchval("SELECT count(*) FROM memberships") == 0
    assert await state_of(database, "north") == "suspended"


async def test_config_that_changed_there_becomes_the_next_version(reference: Reference, database: Database) -> None:
    await reference.config("north", ARTIFACT)
    await move(reference, database)
    await reference.db.execute("UPDATE app_configs SET name = 'Renamed'")
    await move(reference, database)
    async with database.shared() as db:
        row = await db.fetchrow("SELECT name, config_number, artifact_id FROM tenants")
    assert row is not None
    assert tuple(row) == ("Renamed", 2, ARTIFACT)


async def test_config_that_changed_on_both_sides_stays_as_it_is_here(reference: Reference, database: Database) -> None:
    await reference.config("north", ARTIFACT)
    await move(reference, database)
    async with database.shared() as db:
        await db.execute("UPDATE tenants SET config_number = 5")
        async with scoped(db, Scope(SHARED_SCHEMA, await owner_role(db))):
            await db.execute("UPDATE config_versions SET number = 5")
    await reference.db.execute("UPDATE app_configs SET name = 'Renamed'")
    again = await move(reference, database)
    assert len(again.told(reasons.CONFIG_ON_BOTH)) == 1
    assert await count(database, "config_versions") == 1


# Broken off


async def test_run_that_is_broken_off_leaves_a_closed_tenant_and_the_next_one_ends_as_if_it_had_not_been(
    reference: Reference, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BATCH", 4)
    await fill(reference)
    seen = 0

    def break_off(step: str, rows: int) -> None:
        nonlocal seen
        seen += rows
        if seen > 8:
            raise BrokenOff

    with pytest.raises(BrokenOff):
        await move(reference, database, Steps(break_off), tenants=("north",))
    assert await state_of(database, "north") == "suspended"
    taken = await head_of(database, "north")
    assert 0 < taken < 22

    await move(reference, database)
    assert await state_of(database, "north") == "active"
    broken = await records_of(database, "north")

    async with database.shared() as db:
        tenant = await find_live_tenant(db, "north")
        assert tenant is not None
        await lifecycle.delete(db, tenant.id, Author("1"))
    await move(reference, database)
    assert broken == await records_of(database, "north")


async def test_killed_import_is_gone_on_with_by_the_same_command(
    reference: Reference, database: Database, addresses: Addresses, tmp_path: Path
) -> None:
    await reference.config("north", ARTIFACT)
    await reference.db.execute(
        "INSERT INTO events SELECT 'e' || i, 'north', 'p' || (i % 900), 'update-individual', "
        "jsonb_build_object('name', 'P' || (i % 900), 'f' || (i / 900), i), "
        "'2024-01-01'::timestamptz + i * interval '1 second', '1', 1 FROM generate_series(1, 6300) i"
    )
    env = environment(**settings_of({"POSTGRES": addresses.serving, "DATACOLLECT_DSN": reference.dsn}))
    command = (sys.executable, "-m", "server", "import", "datacollect")
    process = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=env, stdout=DEVNULL, stderr=DEVNULL)
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while await state_of(database, "north") == "none" or not await head_of(database, "north"):
            assert process.returncode is None
    process.kill()
    await process.wait()
    assert await state_of(database, "north") == "suspended"
    taken = await head_of(database, "north")

    again = await asyncio.create_subprocess_exec(*command, cwd=tmp_path, env=env, stdout=PIPE, stderr=DEVNULL)
    told, _ = await again.communicate()
    assert again.returncode == 0, told.decode()
    assert 0 < taken < await head_of(database, "north") == 6300
    assert len(await records_of(database, "north")) == 900
    assert await state_of(database, "north") == "active"


# What is refused


async def test_tenant_of_another_server_with_the_same_id_is_refused(
    reference: Reference, later_reference: Reference, database: Database
) -> None:
    await reference.config("north", ARTIFACT)
    await people(reference, "north", 1)
    await move(reference, database)
    await later_reference.config("north", SOUTH_ARTIFACT)
    await later_reference.event("north", "foreign", "x", "create-individual", {"name": "X"}, AT.format(1))
    other = await move(later_reference, database)
    assert other.outcome.refused == ["north"]
    assert len(other.told(reasons.TENANT_EXISTS)) == 1
    assert set(await records_of(database, "north")) == {"p0"}


async def test_same_server_is_known_again_though_its_artifact_id_is_another(
    reference: Reference, database: Database
) -> None:
    await reference.config("north", ARTIFACT)
    await people(reference, "north", 1)
    await move(reference, database)
    await reference.db.execute("UPDATE app_configs SET artifact_id = 'ffff'")
    again = await move(reference, database)
    assert again.outcome.refused == []
    assert len(again.told(reasons.ARTIFACT_CHANGED)) == 1


async def test_config_with_mistakes_is_refused_with_their_places_until_a_corrected_one_is_given(
    reference: Reference, database: Database
) -> None:
    await reference.config("bad", ARTIFACT, entity_forms=[{"name": "a", "dependsOn": "nowhere"}])
    await people(reference, "bad", 1)
    refused = await move(reference, database)
    assert refused.outcome.refused == ["bad"]
    [told] = refused.told(reasons.BAD_CONFIG)
    assert "entityForms[0].dependsOn" in told["detail"]
    assert await count(database, "tenants") == 0
    corrected = {"id": "bad", "name": "Good", "entityForms": [{"name": "a"}]}
    for _ in range(2):
        taken = await move(reference, database, configs={"bad": corrected})
        assert taken.outcome.refused == []
    assert set(await records_of(database, "bad")) == {"p0"}


async def test_tenants_that_are_not_there_are_named(reference: Reference, database: Database) -> None:
    moved = await move(reference, database, tenants=("nowhere",))
    assert moved.outcome.refused == ["nowhere"]


@pytest.mark.parametrize("artifact_id", [None, "", "with/slash", "x" * 65])
async def test_artifact_id_that_cannot_be_kept_is_told_and_a_new_one_made(
    reference: Reference, database: Database, artifact_id: str | None
) -> None:
    await reference.config("north", artifact_id)
    moved = await move(reference, database)
    assert len(moved.told(reasons.ARTIFACT_ODD)) == 1
    assert len(moved.outcome.taken[0].tenant.artifact_id) == 36


async def test_artifact_id_that_two_tenants_have_goes_to_the_first(reference: Reference, database: Database) -> None:
    await reference.config("a", ARTIFACT)
    await reference.config("b", ARTIFACT)
    moved = await move(reference, database)
    assert [each.tenant.artifact_id == ARTIFACT for each in moved.outcome.taken] == [True, False]
    assert [line["tenant"] for line in moved.told(reasons.ARTIFACT_TAKEN)] == ["b"]


async def test_tenant_that_was_deleted_here_is_taken_over_anew_with_its_artifact_and_its_old_events(
    reference: Reference, database: Database
) -> None:
    """A trial that was thrown away must not stand in the way of the real move."""
    await reference.config("north", ARTIFACT)
    await people(reference, "north", 2)
    first = (await move(reference, database)).outcome.taken[0].tenant
    async with database.shared() as db:
        await lifecycle.delete(db, first.id, Author("1"))
    again = (await move(reference, database)).outcome.taken[0].tenant
    assert again.id != first.id
    assert again.artifact_id == ARTIFACT
    assert set(await records_of(database, "north")) == {"p0", "p1"}
    [row] = await inside(database, "north", "SELECT value::text AS value FROM settings WHERE name = 'not-before'")
    assert row["value"] == "0"


# Accounts


async def memberships(database: Database) -> dict[str, dict[str, str]]:
    async with database.shared() as db:
        rows = await db.fetch(
            "SELECT u.email, t.config_id, m.role FROM users u LEFT JOIN memberships m ON m.user_id = u.id "
            "LEFT JOIN tenants t ON t.id = m.tenant_id"
        )
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        found.setdefault(row["email"], {}).update({row["config_id"]: row["role"]} if row["config_id"] else {})
    return found


async def test_operators_are_made_of_those_alone_who_are_named_and_are_admins_there(
    reference: Reference, database: Database
) -> None:
    await reference.config("north", ARTIFACT)
    await reference.user("boss@field.test", "ADMIN")
    await reference.user("other@field.test", "ADMIN")
    await reference.user("ann@field.test", "USER")
    moved = await move(reference, database, operators=frozenset({"boss@field.test", "ann@field.test"}))
    async with database.shared() as db:
        assert await db.fetchval("SELECT array_agg(email) FROM users WHERE role = 'ADMIN'") == ["boss@field.test"]
    assert [line["row"] for line in moved.told(reasons.NOT_OPERATOR)] == ["ann@field.test"]


async def test_account_that_exists_keeps_its_password_and_role_and_gets_the_memberships(
    reference: Reference, database: Database
) -> None:
    async with database.shared() as db:
        await db.execute("INSERT INTO users (email, password_hash, role) VALUES ('Ann@field.test', 'mine', 'ADMIN')")
    await reference.config("north", ARTIFACT)
    await reference.user("ann@field.test")
    moved = await move(reference, database)
    async with database.shared() as db:
        row = await db.fetchrow("SELECT password_hash, role FROM users")
    assert row is not None
    assert tuple(row) == ("mine", "ADMIN")
    assert await memberships(database) == {"Ann@field.test": {"north": "collector"}}
    assert len(moved.told(reasons.KNOWN_EMAIL)) == 1


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("all", {"ann": {"a": "collector", "b": "collector"}, "ben": {"a": "collector", "b": "collector"}}),
        ("seen", {"ann": {"a": "collector"}, "ben": {}}),
        ("none", {"ann": {}, "ben": {}}),
    ],
)
async def test_everybody_enters_what_the_operator_wants_where_that_server_limits_nobody(
    reference: Reference, database: Database, access: Any, expected: dict[str, dict[str, str]]
) -> None:
    await reference.config("a", ARTIFACT)
    await reference.config("b", SOUTH_ARTIFACT)
    await reference.user("ann")
    await reference.user("ben@field.test")
    await reference.db.execute("UPDATE users SET email = 'ann@field.test' WHERE email = 'ann'")
    await reference.event("a", "e", "x", "create-individual", {"name": "X"}, AT.format(1), user="1")
    await move(reference, database, access=Access(access))
    assert await memberships(database) == {f"{name}@field.test": roles for name, roles in expected.items()}


async def test_tenants_and_roles_of_later_versions_limit_everybody(
    later_reference: Reference, database: Database
) -> None:
    for tenant, artifact in (("a", ARTIFACT), ("b", SOUTH_ARTIFACT)):
        await later_reference.config(tenant, artifact)
    roles = [{"tenantId": "a", "role": "program-admin"}, {"tenantId": "b", "role": "SYSTEM_ADMIN"}]
    await later_reference.user("lead@field.test", tenant_ids=["a"], role_assignments=roles)
    viewer = [{"tenantId": "b", "role": "viewer"}]
    await later_reference.user("looks@field.test", tenant_ids=["b"], role_assignments=viewer)
    await later_reference.user("plain@field.test", tenant_ids=["a", "b"])
    await later_reference.user("nowhere@field.test")
    await later_reference.user("odd@field.test", "AUDITOR", tenant_ids=["a"])
    moved = await move(later_reference, database)
    assert await memberships(database) == {
        "lead@field.test": {"a": "admin"},
        "looks@field.test": {"b": "viewer"},
        "plain@field.test": {"a": "collector", "b": "collector"},
        "nowhere@field.test": {},
        "odd@field.test": {},
    }
    assert len(moved.told(reasons.ODD_ROLE)) == len(moved.told(reasons.NO_TENANT)) == 1


async def test_one_tenant_alone_brings_its_own_people_alone_and_the_next_the_others(
    later_reference: Reference, database: Database
) -> None:
    await later_reference.config("a", ARTIFACT)
    await later_reference.config("b", SOUTH_ARTIFACT)
    await later_reference.user("ann@field.test", tenant_ids=["a"])
    await later_reference.user("both@field.test", tenant_ids=["a", "b"])
    await later_reference.user("ben@field.test", tenant_ids=["b"])
    await move(later_reference, database, tenants=("a",))
    assert await memberships(database) == {"ann@field.test": {"a": "collector"}, "both@field.test": {"a": "collector"}}
    await move(later_reference, database, tenants=("b",))
    assert await memberships(database) == {
        "ann@field.test": {"a": "collector"},
        "both@field.test": {"a": "collector", "b": "collector"},
        "ben@field.test": {"b": "collector"},
    }


# Layouts


async def test_json_that_a_version_kept_as_text_within_json_is_read(
    later_reference: Reference, database: Database
) -> None:
    await later_reference.config("north", ARTIFACT, name="[draft]")
    await later_reference.db.execute("UPDATE app_configs SET entity_forms = to_jsonb(entity_forms::text)")
    moved = await move(later_reference, database)
    assert moved.outcome.refused == []
    assert moved.outcome.taken[0].tenant.name == "[draft]"


async def test_archived_config_is_a_suspended_tenant(later_reference: Reference, database: Database) -> None:
    await later_reference.config("north", ARTIFACT)
    await later_reference.db.execute("UPDATE app_configs SET archived_at = now()")
    moved = await move(later_reference, database)
    assert await state_of(database, "north") == "suspended"
    assert len(moved.told(reasons.ARCHIVED)) == 1
