"""What tests of tenants look at: the database behind the server, and everything that provisioning could leave in it."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest_asyncio

from server.db import Connection, Database
from tests.conftest import Croft

_SHARED_TABLES = ("tenants", "config_versions", "memberships", "sessions", "former_config_ids", "audit", "users")


@dataclass(frozen=True)
class Standing:
    """All schemas and roles of the cluster's database, and how many rows each shared table has."""

    schemas: frozenset[str]
    roles: frozenset[str]
    grants: int
    rows: tuple[int, ...]


async def standing(db: Connection) -> Standing:
    """How things stand now."""
    schemas = await db.fetch("SELECT nspname FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'")
    roles = await db.fetch("SELECT rolname FROM pg_roles")
    return Standing(
        schemas=frozenset(row["nspname"] for row in schemas),
        roles=frozenset(row["rolname"] for row in roles),
        grants=await db.fetchval("SELECT count(*) FROM pg_auth_members"),
        rows=tuple([await db.fetchval(f"SELECT count(*) FROM {table}") for table in _SHARED_TABLES]),
    )


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def database(croft: Croft) -> AsyncIterator[Database]:
    """The database of the shared server."""
    async with Database(croft.addresses.direct, size=12) as database:
        yield database
