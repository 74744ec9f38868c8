"""The installation: the shared schema, and the role that owns it and every tenant's tables.

No login owns a table: installing, provisioning and migrating step into the owner's role for as long as they need it.
A login that serves and may create roles makes tenants, too, and so is let into the owner's role. One that may not is
kept out of it: then another login installs, and makes and migrates the tenants. Role names are cluster-wide, so the
owner's carries a random part and is stored.
"""

import re
import secrets
from collections.abc import Sequence

import asyncpg

from server.db.connection import Connection
from server.db.migrations import apply_migrations, shared_migrations
from server.db.scope import SHARED_SCHEMA, quoted

_LOCK = 0x43524F4654  # "CROFT": serialises installers of one database
_SERVING = "serving"
_RIGHTS = re.compile(rf'(--[^\n]*\n)*(GRANT|REVOKE)\s.*:"{_SERVING}"', re.DOTALL)


class InstallerNeeded(Exception):
    """This login may not do what has to be done: it cannot step into the role that owns the tables."""


async def install(db: Connection, *, serving: str) -> list[str]:
    """Creates or brings up to date the shared schema, in the open transaction. Returns the ids of migrations run.

    `serving` is the login that will serve. Runs as that login or another one that may create schemas and roles; as one
    that may not where there is nothing to do. Raises InstallerNeeded. A second run, or one beside another, is harmless.
    """
    await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
    installer = str(await db.fetchval("SELECT session_user"))
    owner = await _stored_owner(db)
    if owner is not None and not await may_own(db, owner):
        return await _expect_nothing_to_do(db, installer)
    owner = owner or await create_role(db, "croft_owner", grant_to=installer)
    await _prepare_database(db, owner)
    handed_over = await _own_schema(db, owner)
    await db.execute(f"SET LOCAL ROLE {quoted(owner)}; SET LOCAL search_path = {quoted(SHARED_SCHEMA)}, pg_temp")
    done = await apply_migrations(db, shared_migrations(), {_SERVING: serving})
    has_changed = await _note_logins(db, owner, serving)
    for login in sorted({serving, installer}):
        if done or handed_over or has_changed or login != serving:
            await _give_rights(db, login)
    await db.execute("SET LOCAL ROLE NONE")
    await _settle_membership(db, owner, serving)
    for login in {serving, installer}:
        if has_changed or login != serving:
            await _let_into_tenants(db, login)
    return done


async def login_of(dsn: str) -> str:
    """The login that the address leads to; a transaction, so that it works through a PgBouncer."""
    db = await asyncpg.connect(dsn, statement_cache_size=0)
    try:
        async with db.transaction():
            return str(await db.fetchval("SELECT session_user"))
    finally:
        await db.close()


async def may_own(db: Connection, owner: str) -> bool:
    """Whether this connection's login can step into the role of the owner."""
    return bool(await db.fetchval("SELECT pg_has_role(session_user, $1, 'MEMBER')", owner))


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
    rows = await db.fetch(f"SELECT id FROM {quoted(SHARED_SCHEMA)}._migrations") if installed else []
    done = {row["id"] for row in rows}
    return [each.id for each in shared_migrations() if each.id not in done]


async def weaknesses(db: Connection) -> Sequence[str]:
    """What an operator should mend about the roles of the database, each in a sentence."""
    row = await db.fetchrow(
        """
        SELECT session_user::text AS login, r.rolsuper AS superuser, r.rolbypassrls AS bypasses,
               has_database_privilege('public', current_database(), 'TEMP') AS temp,
               (SELECT count(*) FROM pg_class c
                WHERE c.relnamespace = to_regnamespace($1) AND c.relowner = r.oid) AS owned
        FROM pg_roles r WHERE r.rolname = session_user
        """,
        SHARED_SCHEMA,
    )
    assert row is not None
    login = row["login"]
    found = {
        f"The login {login} is a superuser: PostgreSQL refuses nothing to it.": row["superuser"],
        f"The login {login} has BYPASSRLS.": row["bypasses"] and not row["superuser"],
        f"The login {login} owns tables of the shared schema: run `croft migrate`.": row["owned"],
        "Everybody may make temporary tables in this database: revoke TEMP from PUBLIC.": row["temp"],
    }
    return [sentence for sentence, holds in found.items() if holds]


async def _stored_owner(db: Connection) -> str | None:
    if await db.fetchval("SELECT to_regclass($1)", f"{SHARED_SCHEMA}.installation") is None:
        return None
    owner: str | None = await db.fetchval(f"SELECT owner_role FROM {quoted(SHARED_SCHEMA)}.installation")
    return owner


async def _expect_nothing_to_do(db: Connection, installer: str) -> list[str]:
    if pending := await pending_shared_migrations(db):
        raise InstallerNeeded(
            f"{len(pending)} migrations of the shared schema are to be run, and the login {installer} may not: run "
            "`croft migrate` with POSTGRES_DIRECT leading to the login that installed Croft."
        )
    return []


async def _prepare_database(db: Connection, owner: str) -> None:
    database = quoted(await db.fetchval("SELECT current_database()"))
    if not await db.fetchval("SELECT has_database_privilege($1, current_database(), 'CREATE')", owner):
        await db.execute(f"GRANT CREATE ON DATABASE {database} TO {quoted(owner)}")
    # Temporary tables live as long as a connection, which serves one tenant after another.
    if await db.fetchval("SELECT has_database_privilege('public', current_database(), 'TEMP')"):
        await db.execute(f"REVOKE TEMP ON DATABASE {database} FROM PUBLIC")


async def _own_schema(db: Connection, owner: str) -> bool:
    """Makes the shared schema, or hands over to the owner what of it a login owns; whether there was any."""
    schema, role = quoted(SHARED_SCHEMA), quoted(owner)
    holder = await db.fetchval("SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = $1", SHARED_SCHEMA)
    if holder is None:
        await db.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
        return False
    if holder != owner:
        # In this order: whoever has the tables now could not come near them once the schema is gone.
        await db.execute(f"GRANT CREATE ON SCHEMA {schema} TO {role}")
    tables = await db.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'p') "
        "AND relowner <> $2::text::regrole",
        SHARED_SCHEMA,
        role,
    )
    for table in tables:
        await db.execute(f"ALTER TABLE {schema}.{quoted(table['relname'])} OWNER TO {role}")
    if holder != owner:
        await db.execute(f"ALTER SCHEMA {schema} OWNER TO {role}")
    return bool(tables)


async def _note_logins(db: Connection, owner: str, serving: str) -> bool:
    """Notes the owner's role and the login that serves; whether it is another one than before."""
    before = await db.fetchval("SELECT serving_login FROM installation")
    await db.execute(
        "INSERT INTO installation (owner_role, serving_login) VALUES ($1, $2) "
        "ON CONFLICT (one_row) DO UPDATE SET serving_login = excluded.serving_login",
        owner,
        serving,
    )
    return bool(before != serving)


async def _give_rights(db: Connection, login: str) -> None:
    """What the migrations give to the login that serves; who owned the tables had no such rights noted before."""
    await db.execute(f"GRANT USAGE ON SCHEMA {quoted(SHARED_SCHEMA)} TO {quoted(login)}")
    await db.execute(f"GRANT SELECT ON _migrations TO {quoted(login)}")
    for migration in shared_migrations():
        for statement in migration.statements:
            if _RIGHTS.match(statement):
                await db.execute(statement.replace(f':"{_SERVING}"', quoted(login)))


async def _settle_membership(db: Connection, owner: str, serving: str) -> None:
    """Lets the serving login into the owner's role if it may make tenants, and keeps it out otherwise."""
    row = await db.fetchrow(
        "SELECT rolcreaterole OR rolsuper AS makes, pg_has_role(rolname, $2, 'MEMBER') AS is_member "
        "FROM pg_roles WHERE rolname = $1",
        serving,
        owner,
    )
    assert row is not None
    if row["makes"] and not row["is_member"]:
        await grant_role(db, owner, serving)
    elif row["is_member"] and not row["makes"]:
        await db.execute(f"REVOKE {quoted(owner)} FROM {quoted(serving)}")


async def _let_into_tenants(db: Connection, login: str) -> None:
    """Lets a login that is new here step into the roles of the tenants there are."""
    rows = await db.fetch(
        f"SELECT role_name FROM {quoted(SHARED_SCHEMA)}.tenants WHERE NOT pg_has_role($1, role_name, 'MEMBER')", login
    )
    for row in rows:
        await grant_role(db, row["role_name"], login)
