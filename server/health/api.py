"""GET /health and GET /ready."""

import asyncio

import asyncpg

from server.db import Database
from server.db.installation import pending_shared_migrations
from server.db.migrations import tenant_migrations
from server.health.model import Health, Readiness
from server.health.queries import count_tenants_behind
from server.kit.call import Call
from server.kit.problem import FieldError, ProblemKind

DATABASE_AWAY = ProblemKind("health.database-away", 503, "The database does not answer.")
SHARED_SCHEMA_BEHIND = ProblemKind(
    "health.shared-schema-behind", 503, "The shared schema lacks migrations. Run: croft migrate"
)

_PATIENCE_SECONDS = 3.0


async def live(_: Call) -> Health:
    """The process answers; nothing else is looked at."""
    return Health()


async def ready(_: Call, *, database: Database) -> Readiness:
    """Database and shared schema are as they must be. Raises `health.database-away`, `health.shared-schema-behind`."""
    try:
        async with (
            asyncio.timeout(_PATIENCE_SECONDS),
            database.shared(readonly=True, patience=_PATIENCE_SECONDS) as db,
        ):
            pending = await pending_shared_migrations(db)
            behind = 0 if pending else await count_tenants_behind(db, tenant_migrations()[-1].id)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise DATABASE_AWAY(headers={"Retry-After": "5"}) from error
    if pending:
        raise SHARED_SCHEMA_BEHIND(errors=[FieldError("migrations", each) for each in pending])
    return Readiness(tenantsBehind=behind)
