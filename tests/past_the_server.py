"""What tests look at and change past the server under test, as the superuser of its database."""

from typing import Any

import asyncpg

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft
from tests.isolation.neighbours import database_name


async def rows(cluster: EmbeddedPostgres, croft: Croft, sql: str, *values: Any) -> list[asyncpg.Record]:
    """What the SQL gives; unqualified names mean the shared schema."""
    db = await asyncpg.connect(cluster.superuser_dsn(database_name(croft.addresses)))
    try:
        await db.execute("SET search_path = croft")
        return await db.fetch(sql, *values)
    finally:
        await db.close()


async def actions(cluster: EmbeddedPostgres, croft: Croft, subject: str) -> list[str]:
    """What was done to the subject, by the operators' record, the first first."""
    found = await rows(cluster, croft, "SELECT action FROM audit WHERE subject = $1 ORDER BY id", subject)
    return [row["action"] for row in found]


async def number_of(cluster: EmbeddedPostgres, croft: Croft, config_id: str) -> int:
    """The number of the tenant that has the config id."""
    [row] = await rows(cluster, croft, "SELECT id FROM tenants WHERE config_id = $1 AND state <> 'deleted'", config_id)
    return int(row["id"])
