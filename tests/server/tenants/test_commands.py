"""`croft tenants …` and `croft migrate`, as an operator types them."""

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from typer.testing import CliRunner, Result

from server.cli import app
from server.db import Database
from server.db.embedded import EmbeddedPostgres
from server.db.migrations import Migration, tenant_migrations
from server.starting import Addresses
from server.tenants import queries
from tests.conftest import new_database, small_config
from tests.croft_process import settings_of

_numbers = count(1)
APPLIED = re.compile(r"Tenant .+\.\n  Number    \d+\n  Artifact  /artifacts/[0-9a-f-]{36}\.json\n")

Run = Callable[..., Awaitable[Result]]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def addresses(cluster: EmbeddedPostgres) -> Addresses:
    """An empty database for the commands of this module."""
    return await new_database(cluster)


@pytest_asyncio.fixture(loop_scope="session")
async def run(addresses: Addresses, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a command line on that database; what it prints, on both streams, is in the result."""
    for name in tuple(os.environ):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    env = settings_of({"POSTGRES": addresses.serving, "RETENTION_DAYS": "30"})

    async def invoke(*words: str, typed: str | None = None, **settings: str) -> Result:
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, list(words), env=env | settings, input=typed))

    assert (await invoke("migrate")).exit_code == 0
    return invoke


@pytest_asyncio.fixture(loop_scope="session")
async def applied(run: Run, tmp_path: Path) -> str:
    """A tenant made by `croft tenants apply`; its id."""
    config = {**small_config(f"by-hand-{next(_numbers)}"), "name": "By [hand]"}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    result = await run("tenants", "apply", "config.json")
    assert result.exit_code == 0, result.output
    assert APPLIED.fullmatch(result.output), result.output
    assert result.output.startswith(f"Tenant {config['id']} created.\n")
    return str(config["id"])


async def test_applying_a_file_again_makes_a_new_version(run: Run, applied: str) -> None:
    result = await run("tenants", "apply", "config.json")
    assert APPLIED.fullmatch(result.output)
    assert result.output.startswith(f"Tenant {applied} has version 2 of its config.\n")


async def test_mistakes_in_a_file_are_told_by_their_paths(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.json").write_text('{"id": "wrong", "name": "Wrong", "entityForms": [{"title": "No name"}]}')
    result = await run("tenants", "apply", "wrong.json")
    assert result.exit_code == 1
    assert "entityForms[0].name" in result.output


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{\n  "id": nobody}', "broken.json is not valid JSON at id (line 2, column 9): A value is expected.\n"),
        (
            '{"id": ',
            "broken.json is not valid JSON at id (line 1, column 8): A value is expected. The text ends here.\n",
        ),
        (" ", "broken.json is empty where JSON is expected.\n"),
    ],
)
async def test_broken_file_is_told_with_its_name_and_place(run: Run, tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "broken.json").write_text(content)
    result = await run("tenants", "apply", "broken.json")
    assert (result.exit_code, result.output) == (1, told)


async def test_config_is_read_from_standard_input(run: Run) -> None:
    document = json.dumps(small_config(f"by-hand-{next(_numbers)}"))
    result = await run("tenants", "apply", "-", typed=f"\ufeff{document}")
    assert result.exit_code == 0, result.output
    broken = await run("tenants", "apply", "-", typed="{")
    assert (broken.exit_code, "The standard input is not valid JSON at line 1" in broken.output) == (1, True)


async def test_artifact_is_told_with_the_public_address(run: Run, applied: str) -> None:
    result = await run("tenants", "apply", "config.json", PUBLIC_BASE_URL="https://sync.example.org")
    assert f"Tenant {applied} has version 2" in result.output
    assert re.search(r"  Artifact  https://sync\.example\.org/artifacts/[0-9a-f-]{36}\.json\n", result.output)


async def test_file_with_a_byte_order_mark_is_applied(run: Run, applied: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(small_config(applied)), encoding="utf-8-sig")
    assert (await run("tenants", "apply", "config.json")).exit_code == 0


async def test_name_cannot_steer_the_terminal(run: Run, applied: str, tmp_path: Path) -> None:
    config = {**small_config(applied), "name": "\x1b[31mred\nTenant other is active.", "version": "\u202e1"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    await run("tenants", "apply", "config.json")
    await run("tenants", "delete", applied)
    for words in (("list", "--state", "deleted"), ("show", applied), ("purge", applied, "--now")):
        output = (await run("tenants", *words, typed="no\n")).output
        assert "\\u001b[31mred\\u000aTenant other" in output
        assert not {"\x1b", "\u202e"} & set(output)


async def test_numbers_of_entities_are_exact(run: Run, applied: str, addresses: Addresses) -> None:
    async with Database(addresses.direct, size=1) as database, database.shared() as db:
        tenant = await queries.find_tenant(db, applied)
        assert tenant is not None
        await queries.set_entities_count(db, tenant.id, 77)
    assert re.search(r"Entities +0\n", (await run("tenants", "show", applied)).output)
    assert re.search(r"active +0\n", (await run("tenants", "list", "--search", applied)).output)


async def test_life_of_a_tenant_at_the_command_line(run: Run, applied: str) -> None:
    assert applied in (await run("tenants", "list", "--search", applied)).output
    assert "By [hand]" in (await run("tenants", "show", applied)).output
    assert (await run("tenants", "suspend", applied)).output == f"Tenant {applied} is suspended.\n"
    assert (await run("tenants", "list", "--state", "suspended")).output.count(applied) == 1
    assert (await run("tenants", "resume", applied)).output == f"Tenant {applied} is active.\n"
    assert "Folded 0 events into 0 entities" in (await run("tenants", "rebuild", applied)).output
    assert (await run("tenants", "delete", applied)).exit_code == 0
    assert applied not in (await run("tenants", "list")).output
    assert (await run("tenants", "restore", applied, "--as", f"{applied}-2")).exit_code == 0
    assert f"Tenant {applied}-2 is deleted." in (await run("tenants", "delete", f"{applied}-2")).output


async def log_of(addresses: Addresses, name: str, *statements: str) -> list[Any]:
    """What each statement answers in the tenant's schema: its first value."""
    async with Database(addresses.direct, size=1) as database:
        async with database.shared() as db:
            tenant = await queries.find_tenant(db, name)
            assert tenant is not None
        async with database.inside(tenant.scope) as db:
            return [await db.fetchval(each) for each in statements]


EPOCH = "SELECT epoch FROM sync_head"


async def acts_of(addresses: Addresses, action: str) -> list[tuple[str, str]]:
    async with Database(addresses.direct, size=1) as database, database.shared() as db:
        rows = await db.fetch(
            "SELECT a.actor, t.config_id FROM audit a JOIN tenants t ON a.subject = 'tenant:' || t.id "
            "WHERE a.action = $1 ORDER BY a.id",
            action,
        )
        return [(row["actor"], row["config_id"]) for row in rows]


async def test_new_epoch_of_one_tenant_is_confirmed_and_on_the_record(
    run: Run, applied: str, addresses: Addresses
) -> None:
    before = await log_of(addresses, applied, EPOCH)
    mistyped = await run("tenants", "new-epoch", applied, typed="something else\n")
    assert (mistyped.exit_code, "Nothing was changed." in mistyped.output) == (1, True)
    assert "answered from the start" in mistyped.output
    assert await log_of(addresses, applied, EPOCH) == before
    typed = await run("tenants", "new-epoch", applied, typed=f"{applied}\n")
    assert (typed.exit_code, f"Tenant {applied} " in typed.output) == (0, True)
    assert await log_of(addresses, applied, EPOCH) != before
    assert (await acts_of(addresses, "tenant.epoch-begun"))[-1] == ("command-line", applied)


async def test_new_epoch_of_all_tenants(run: Run, applied: str, addresses: Addresses, tmp_path: Path) -> None:
    names = [applied, f"{applied}-2"]
    (tmp_path / "config.json").write_text(json.dumps(small_config(names[1])), encoding="utf-8")
    assert (await run("tenants", "apply", "config.json")).exit_code == 0
    await run("tenants", "delete", applied)
    before = [await log_of(addresses, each, EPOCH) for each in names]
    assert (await run("tenants", "new-epoch", "--all", "--yes")).exit_code == 0
    after = [await log_of(addresses, each, EPOCH) for each in names]
    assert not [each for each in before if each in after]


@pytest.mark.parametrize("words", [(), ("--yes",), ("some-tenant", "--all", "--yes"), ("", "--yes")])
async def test_new_epoch_without_a_plain_word_for_whom_changes_nothing(
    run: Run, addresses: Addresses, words: tuple[str, ...]
) -> None:
    before = await acts_of(addresses, "tenant.epoch-begun")
    assert (await run("tenants", "new-epoch", *words)).exit_code == 1
    assert await acts_of(addresses, "tenant.epoch-begun") == before


async def test_rebuild_says_what_stood_otherwise_and_finds_duplicates_anew(
    run: Run, addresses: Addresses, tmp_path: Path
) -> None:
    name = f"rebuilt-{next(_numbers)}"
    twins = [{"id": "one", "name": "Ada Okoye"}, {"id": "two", "name": "Ada Okoye"}]
    rules = {"rules": [{"form": "individual", "fields": ["name"]}]}
    config = {**small_config(name), "entityData": [{"name": "individual", "data": twins}], "duplicates": rules}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert (await run("tenants", "apply", "config.json")).exit_code == 0
    keys, pairs = (
        "SELECT count(*) FROM duplicate_keys",
        "SELECT count(*) FROM duplicates WHERE state = 'open'",
    )
    standing = await log_of(addresses, name, keys, pairs, EPOCH)
    assert standing[1] == 1
    spoil = "UPDATE entities SET name = 'Somebody else' WHERE guid = 'two' RETURNING guid"
    await log_of(addresses, name, spoil, "DELETE FROM duplicate_keys WHERE entity_guid = 'two'")
    rebuilt = await run("tenants", "rebuild", name)
    assert "1 stood otherwise.\n  two\nPhones are answered from the start" in rebuilt.output
    assert (await log_of(addresses, name, keys, pairs)) == standing[:2]
    assert await log_of(addresses, name, EPOCH) != standing[2:]
    assert "0 stood otherwise.\n" in (again := (await run("tenants", "rebuild", name)).output)
    assert "Phones" not in again


async def test_purge_waits_for_the_retention_time_unless_confirmed(run: Run, applied: str) -> None:
    assert (await run("tenants", "purge", applied)).exit_code == 1
    await run("tenants", "delete", applied)
    kept = await run("tenants", "purge", applied)
    assert (kept.exit_code, "is kept until" in kept.output) == (1, True)
    assert (await run("tenants", "purge")).output == "No deleted tenant's retention time is over.\n"
    mistyped = await run("tenants", "purge", applied, "--now", typed="something else\n")
    assert (mistyped.exit_code, "Nothing was purged" in mistyped.output) == (1, True)
    purged = await run("tenants", "purge", applied, "--now", typed=f"{applied}\n")
    assert (purged.exit_code, f"Tenant {applied} " in purged.output) == (0, True)
    gone = await run("tenants", "show", applied)
    assert (gone.exit_code, gone.output) == (1, "There is no such tenant.\n")
    assert (await run("tenants", "purge", "--now")).exit_code == 1


async def test_purge_takes_every_tenant_that_is_due(run: Run, applied: str, addresses: Addresses) -> None:
    await run("tenants", "delete", applied)
    async with Database(addresses.direct, size=1) as database, database.shared() as db:
        await db.execute("UPDATE tenants SET deleted_at = now() - interval '31 days' WHERE config_id = $1", applied)
    assert f"Tenant {applied} " in (await run("tenants", "purge")).output


async def test_migrate_names_the_tenant_that_fails_and_ends_with_code_1(
    run: Run, applied: str, addresses: Addresses, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await run("migrate")).output == "Shared schema: up to date.\nTenants: up to date.\n"
    new = Migration("9999.add-note", ("ALTER TABLE settings ADD COLUMN note text",))
    monkeypatch.setattr("server.tenants.migrating.tenant_migrations", lambda: (*tenant_migrations(), new))
    async with Database(addresses.direct, size=1) as database, database.shared() as db:
        tenant = await queries.find_tenant(db, applied)
        assert tenant is not None
        await db.execute(f"SET LOCAL ROLE {await queries.owner_role(db)}")
        await db.execute(f"ALTER TABLE {tenant.schema}.settings ADD COLUMN note text")
    failed = await run("migrate")
    assert failed.exit_code == 1
    assert f"{applied} (number {tenant.id})" in failed.output
    assert "already exists" in failed.output
    async with Database(addresses.direct, size=1) as database, database.shared() as db:
        await db.execute(f"SET LOCAL ROLE {await queries.owner_role(db)}")
        await db.execute(f"ALTER TABLE {tenant.schema}.settings DROP COLUMN note")
    again = await run("migrate")
    assert (again.exit_code, "Tenants: 1 migrated." in again.output) == (0, True)


async def test_security_is_shown_and_changed_also_where_the_tenant_is_guarded(run: Run, applied: str) -> None:
    shown = await run("tenants", "security", applied)
    assert shown.output == (
        "Offline period  that of the installation\nSecond factor   not required\nGuarded         no\n"
    )
    changed = await run("tenants", "security", applied, "--offline-days", "40", "--second-factor")
    assert changed.output == "Offline period  40 days\nSecond factor   required\nGuarded         no\n"
    nobody = await run("tenants", "security", applied, "--guarded")
    assert nobody.exit_code == 1
    assert "no administrator of its own" in nobody.output
    again = await run("tenants", "security", applied, "--offline-days", "0", "--no-second-factor", "--no-guarded")
    assert again.output == shown.output
    assert (await run("tenants", "security", applied, "--offline-days", "367")).exit_code == 2


async def test_guard_that_nobody_of_the_tenant_could_take_away_is_taken_away_on_record(
    run: Run, applied: str, addresses: Addresses
) -> None:
    async with Database(addresses.direct, size=1) as database:
        async with database.shared() as db:
            await db.execute("UPDATE tenants SET guarded = true WHERE config_id = $1", applied)
        assert (await run("tenants", "security", applied, "--no-guarded")).output.endswith("Guarded         no\n")
        async with database.shared(readonly=True) as db:
            act = await db.fetchrow(
                "SELECT actor, details::text FROM audit WHERE action = 'tenant.security-changed' AND tenant_id = "
                "(SELECT id FROM tenants WHERE config_id = $1)",
                applied,
            )
    assert act is not None
    assert (act["actor"], '"guarded":true' in act["details"]) == ("command-line", True)
