"""The installation: the shared schema, and the role that owns every tenant's tables.

The serving login owns no tenant table; provisioning and migration step into the owner's role for as long as they
need it. Role names are cluster-wide, so the owner's carries a random part and is stored.
"""

import secrets

import asyncpg

from server.db.connection import Connection
from server.db.migrations import apply_migrations, shared_migrations
from server.db.scope import SHARED_SCHEMA, quoted

_LOCK = 0x43524F4654  # "CROFT": serialises installers of one database


async def install(db: Connection, *, serving: str) -> list[str]:
    """Creates or brings up to date the shared schema, in the open transaction. Returns the ids of migrations run.

    `serving` is the login that will serve. Runs as a login that may create schemas and roles. A second run, or
    one beside another, is harmless.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    await db.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(SHARED_SCHEMA)}")
    await db.execute(f"SET LOCAL search_path = {quoted(SHARED_SCHEMA)}, pg_temp")
    await db.execute(f"GRANT USAGE ON SCHEMA {quoted(SHARED_SCHEMA)} TO {quoted(serving)}")
    done = await apply_migrations(db, shared_migrations(), {"serving": serving})
    await db.execute(f"GRANT SELECT ON _migrations TO {quoted(serving)}")
    if await db.fetchval("SELECT count(*) FROM installation") == 0:
        owner = await create_role(db, "croft_owner", grant_to=serving)
        installer = await db.fetchval("SELECT session_user")
        if installer != serving:
            await grant_role(db, owner, installer)
        database = await db.fetchval("SELECT current_database()")
        await db.execute(f"GRANT CREATE ON DATABASE {quoted(database)} TO {quoted(owner)}")
        # Temporary tables live as long as a connection, which serves one tenant after another.
        await db.execute(f"REVOKE TEMP ON DATABASE {quoted(database)} FROM PUBLIC")
        await db.execute("INSERT INTO installation (owner_role) VALUES ($1)", owner)
    return done


async def login_of(dsn: str) -> str:
    """The login that the address leads to; a transaction, so that it works through a PgBouncer."""
    db = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with db.transaction():
            return str(await db.fetchval("SELECT session_user"))
    finally:
        await db.close()


async def create_role(db: Connection, stem: str, *, grant_to: str) -> str:
    """Creates a NOLOGIN role `stem_<random>` into which `grant_to` may step but whose rights it does not inherit."""
    name = f"{stem[:40]}_{secrets.token_hex(5)}"
    await db.execute(f"CREATE ROLE {quoted(name)} NOLOGIN")
    await grant_role(db, name, grant_to)
    return name


async def grant_role(db: Connection, role: str, login: str) -> None:
    """Lets the login step into the role without having its rights by itself."""
    options = " WITH INHERIT FALSE, SET TRUE" if db.get_server_version().major >= 16 else ""
    await db.execute(f"GRANT {quoted(role)} TO {quoted(login)}{options}")


async def pending_shared_migrations(db: Connection) -> list[str]:
    """The ids of shared migrations that this database lacks; all of them where Croft was never installed."""
    installed = await db.fetchval("SELECT to_regclass($1)", f"{SHARED_SCHEMA}._migrations") is not None
    rows = await db.fetch("SELECT id FROM _migrations") if installed else []
    done = {row["id"] for row in rows}
    return [each.id for each in shared_migrations() if each.id not in done]
