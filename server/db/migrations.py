"""Migrations: yoyo's files in yoyo's order, run by ourselves inside the caller's transaction.

yoyo's own runner commits each migration on a connection of its own, so a schema could stand half-way; here all of a
schema's migrations and the record of them commit together or not at all. Statements run one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yoyo
from yoyo.migrations import read_sql_migration

from server.db.connection import Connection
from server.db.scope import quoted

_BESIDE_SERVER = Path(__file__).resolve().parents[2]
"""Where the migrations are beside the package, in a checkout as well as installed."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `id` is its name without `.sql`; in `statements`, `:"role"` and the like stand for names."""

    id: str
    statements: tuple[str, ...]


@cache
def shared_migrations() -> tuple[Migration, ...]:
    """The migrations of the shared schema, in order."""
    return read_migrations(_BESIDE_SERVER / "shared_migrations")


@cache
def tenant_migrations() -> tuple[Migration, ...]:
    """The migrations of every tenant's schema, in order."""
    return read_migrations(_BESIDE_SERVER / "tenant_migrations")


def read_migrations(folder: Path) -> tuple[Migration, ...]:
    """Reads a folder of `NNNN.verb-noun.sql` files. Raises FileNotFoundError where there are none."""
    found = yoyo.read_migrations(str(folder))
    if not found:
        raise FileNotFoundError(f"no migrations in {folder}")
    return tuple(Migration(each.id, tuple(read_sql_migration(each.path)[2])) for each in found)


async def apply_migrations(db: Connection, migrations: Sequence[Migration], names: Mapping[str, str]) -> list[str]:
    """Brings the schema that comes first on the search_path up to date and returns the ids it ran.

    `names` gives the identifiers for the placeholders: {"role": "t_north_7f"} for `:"role"`. Run in a transaction,
    in the scope of the schema's owner; a second run finds nothing to do.
    """
    await db.execute("CREATE TABLE IF NOT EXISTS _migrations (id text PRIMARY KEY, at timestamptz DEFAULT now())")
    done = {row["id"] for row in await db.fetch("SELECT id FROM _migrations")}
    missing = [each for each in migrations if each.id not in done]
    for migration in missing:
        for statement in migration.statements:
            await db.execute(_named(statement, names))
        await db.execute("INSERT INTO _migrations (id) VALUES ($1)", migration.id)
    return [each.id for each in missing]


def _named(statement: str, names: Mapping[str, str]) -> str:
    for placeholder, identifier in names.items():
        statement = statement.replace(f':"{placeholder}"', quoted(identifier))
    return statement
