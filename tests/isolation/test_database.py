"""What PostgreSQL itself refuses inside a tenant's scope, and that nothing of a scope outlives its transaction."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest

from server.db import Connection, Database, Scope, scoped
from server.db.connection import is_closed
from server.db.embedded import EmbeddedPostgres
from server.db.errors import problem_of
from server.db.scope import SHARED_SCHEMA
from server.starting import Addresses, install_shared_schema
from tests.isolation.attempts import ATTEMPTS, Attempt
from tests.isolation.neighbours import PLANTED, Neighbours, database_name

OF_EVERY_TABLE = (
    "SELECT count(*) FROM {table}",
    "SELECT {column} FROM {table} FOR UPDATE",
    "INSERT INTO {table} DEFAULT VALUES",
    "UPDATE {table} SET {column} = DEFAULT",
    "DELETE FROM {table}",
    "MERGE INTO {table} USING (SELECT 1) one ON false WHEN NOT MATCHED THEN INSERT DEFAULT VALUES",
    "TRUNCATE {table}",
    "LOCK TABLE {table} IN ACCESS SHARE MODE",
    "COPY {table} TO STDOUT",
    "COPY {table} FROM STDIN",
    "ALTER TABLE {table} ADD COLUMN extra int",
    "DROP TABLE {table}",
    "CREATE INDEX ON {table} ({column})",
    "COMMENT ON TABLE {table} IS 'seen'",
    "GRANT SELECT ON {table} TO PUBLIC",
    "SELECT '{table}'::regclass",
    "SELECT * FROM {own}.entities UNION ALL SELECT e.* FROM {own}.entities e JOIN {table} t ON true",
    "WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT * FROM gone",
)

OF_ANOTHER_SCHEMA = (
    "CREATE TABLE {other}.made (id int)",
    "CREATE VIEW {other}.made AS SELECT 1 AS one",
    "CREATE FUNCTION {other}.made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SEQUENCE {other}.made",
    "ALTER SCHEMA {other} RENAME TO mine",
    "DROP SCHEMA {other} CASCADE",
    "GRANT USAGE ON SCHEMA {other} TO PUBLIC",
    "SELECT {other}.secret_of_neighbour()",
    "SELECT * FROM {other}.view_of_neighbour",
    "SELECT nextval('{other}.quarantine_id_seq')",
    "SELECT setval('{other}.quarantine_id_seq', 1000)",
    "SELECT last_value FROM {other}.quarantine_id_seq",
)

# What a tenant's role may not do in its own schema or anywhere, so that data and tables of others have no way in.
ANYWHERE = (
    "CREATE TABLE made (id int)",
    "CREATE TABLE {own}.made (id int)",
    "CREATE TABLE public.made (id int)",
    "CREATE TABLE made AS SELECT * FROM entities",
    "CREATE TEMP TABLE made (id int)",
    "CREATE TABLE pg_temp.made (id int)",
    "CREATE TEMP VIEW made AS SELECT 1 AS one",
    "CREATE TEMP SEQUENCE made",
    "SELECT * INTO TEMP made FROM entities",
    "CREATE FUNCTION pg_temp.made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE FUNCTION made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA made",
    "CREATE ROLE made",
    "ALTER ROLE {other_role} SET search_path = {own}",
    "ALTER ROLE {own_role} CREATEROLE",
    "DROP ROLE {other_role}",
    "GRANT {other_role} TO {own_role}",
    "GRANT {own_role} TO {other_role}",
    "SET SESSION AUTHORIZATION {other_role}",
    "ALTER DATABASE {database} SET search_path = {own}",
    "DROP EXTENSION plpgsql",
    "ALTER TABLE entities ADD COLUMN extra int",
    "DROP TABLE entities",
    "TRUNCATE entities",
    "DROP SCHEMA {own} CASCADE",
    "DELETE FROM events",
    "UPDATE events SET data = '{{}}'",
    "UPDATE audit_log SET action = ''",
    "DELETE FROM pushes",
    "SELECT * FROM _migrations",
    "COPY entities TO PROGRAM 'cat'",
    "COPY entities TO '/tmp/entities'",
    "COPY entities (guid) FROM '/etc/hostname'",
    "SELECT pg_read_file('postgresql.conf')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT * FROM pg_largeobject",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_statistic",
    "SELECT pg_reload_conf()",
    "DO $$ BEGIN PERFORM count(*) FROM {other}.entities; END $$",
)

SESSION = (
    "SELECT current_setting('search_path') AS path, current_setting('role') AS role, current_user AS login, "
    "current_setting('transaction_read_only') AS readonly, current_setting('statement_timeout') AS patience, "
    "current_setting('lock_timeout') AS lock_patience, pg_current_xact_id_if_assigned() IS NULL AS outside, "
    "pg_backend_pid() AS backend"
)


class Changed(Exception):
    """A fault of the test's own making, that rolls back."""


@pytest.fixture(scope="module")
def north(pair: Neighbours) -> Scope:
    return pair.tenants[0].scope


@pytest.fixture(scope="module")
def south(pair: Neighbours) -> Scope:
    return pair.tenants[1].scope


@asynccontextmanager
async def as_superuser(cluster: EmbeddedPostgres, pair: Neighbours) -> AsyncIterator[Connection]:
    db = await asyncpg.connect(cluster.superuser_dsn(database_name(pair.addresses)))
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture(scope="module", autouse=True)
async def planted(cluster: EmbeddedPostgres, pair: Neighbours, south: Scope) -> None:
    """A function and a view in the neighbour's schema, as careless as can be: everybody may use them."""
    async with as_superuser(cluster, pair) as db:
        await db.execute(
            f"CREATE FUNCTION {south.schema}.secret_of_neighbour() RETURNS bigint LANGUAGE sql SECURITY DEFINER "
            f"AS 'SELECT count(*) FROM {south.schema}.entities'"
        )
        await db.execute(f"CREATE VIEW {south.schema}.view_of_neighbour AS SELECT * FROM {south.schema}.entities")
        await db.execute(f"GRANT ALL ON {south.schema}.view_of_neighbour TO PUBLIC")


async def tables_of(db: Connection, schema: str) -> dict[str, str]:
    """Every table of a schema by its qualified name, each with its first column."""
    rows = await db.fetch(
        "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = 1 "
        "WHERE c.relnamespace = to_regnamespace($1) AND c.relkind = 'r'",
        schema,
    )
    return {f'{schema}."{row["relname"]}"': f'"{row["attname"]}"' for row in rows}


async def allows(database: Database, scope: Scope, statement: str) -> bool:
    """Whether PostgreSQL does it inside the scope, for whatever is not refused for want of a right."""
    try:
        async with database.inside(scope) as db:
            await db.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        return False
    except asyncpg.PostgresError as error:
        pytest.fail(f"{statement}: refused for another reason: {error}")
    return True


async def guids(db: Connection) -> list[str]:
    return [row["guid"] for row in await db.fetch("SELECT guid FROM entities ORDER BY guid")]


def guids_of(name: str) -> list[str]:
    return [f"{name}-{number}" for number in range(1, PLANTED + 1)]


# What is refused


@pytest.mark.parametrize("whose", ["neighbour", "shared"])
@pytest.mark.parametrize("statement", OF_EVERY_TABLE)
async def test_no_table_of_another_schema_can_be_touched(
    pair: Neighbours, north: Scope, south: Scope, statement: str, whose: str
) -> None:
    schema = south.schema if whose == "neighbour" else SHARED_SCHEMA
    async with pair.database.shared() as db:
        tables = await tables_of(db, schema)
    assert len(tables) >= 7
    allowed = [
        table
        for table, column in tables.items()
        if await allows(pair.database, north, statement.format(table=table, column=column, own=north.schema))
    ]
    assert not allowed


@pytest.mark.parametrize("statement", OF_ANOTHER_SCHEMA)
async def test_nothing_else_of_a_neighbours_schema_can_be_used_or_made(
    pair: Neighbours, north: Scope, south: Scope, statement: str
) -> None:
    assert not await allows(pair.database, north, statement.format(other=south.schema))


@pytest.mark.parametrize("statement", ANYWHERE)
async def test_right_that_no_tenant_has(pair: Neighbours, north: Scope, south: Scope, statement: str) -> None:
    names = {
        "own": north.schema,
        "other": south.schema,
        "own_role": north.role,
        "other_role": south.role,
        "database": database_name(pair.addresses),
    }
    assert not await allows(pair.database, north, statement.format(**names))


async def outcome_of(database: Database, scope: Scope, statement: str) -> str:
    """What becomes of a statement inside the scope; nothing of it stays."""
    async with database.inside(scope) as db:
        await db.execute("SAVEPOINT before")
        try:
            rows = await db.fetch(statement)
        except asyncpg.InsufficientPrivilegeError:
            outcome = "refused"
        except (asyncpg.UndefinedFunctionError, asyncpg.FeatureNotSupportedError):
            outcome = "absent"
        else:
            asks = statement.startswith(("SELECT", "TABLE"))
            outcome = "possible" if rows or not asks else "empty"
        await db.execute("ROLLBACK TO SAVEPOINT before")
    return outcome


@pytest.mark.parametrize(
    "attempt", [pytest.param(each, id=f"{kind}: {each.statement[:60]}") for kind in ATTEMPTS for each in ATTEMPTS[kind]]
)
async def test_sql_of_ones_own_comes_as_far_as_is_written_and_no_further(
    pair: Neighbours, north: Scope, south: Scope, attempt: Attempt
) -> None:
    async with pair.database.shared() as db:
        table = "SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = 'entities'"
        names = {
            "own": north.schema,
            "other": south.schema,
            "own_role": north.role,
            "other_role": south.role,
            "owner": await db.fetchval("SELECT owner_role FROM installation"),
            "table": await db.fetchval(table, south.schema),
            "database": database_name(pair.addresses),
        }
    assert await outcome_of(pair.database, north, attempt.statement.format(**names)) == attempt.outcome, attempt.why
    assert attempt.why


async def test_neighbours_sequence_is_refused_by_its_number_too(pair: Neighbours, north: Scope, south: Scope) -> None:
    async with pair.database.shared() as db:
        number = await db.fetchval(
            "SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = 'quarantine_id_seq'",
            south.schema,
        )
    assert number
    assert not await allows(pair.database, north, f"SELECT nextval({number}::oid::regclass)")
    assert not await allows(pair.database, north, f"SELECT currval({number}::oid::regclass)")


async def test_last_number_that_a_neighbour_was_given_is_not_told(pair: Neighbours, north: Scope, south: Scope) -> None:
    async with pair.database.inside(south) as db:
        await db.execute(
            "INSERT INTO quarantine (digest, guid, code, path, detail, raw, account, device_id, received_at) "
            "VALUES ('last', '', '', '', '', 'south', '', '', now())"
        )
    assert not await allows(pair.database, north, "SELECT lastval()")


@pytest.mark.parametrize("setting", ["SET", "SET LOCAL"])
async def test_neighbours_schema_on_the_search_path_shows_nothing(
    pair: Neighbours, north: Scope, south: Scope, setting: str
) -> None:
    async with pair.database.inside(north) as db:
        await db.execute(f"SAVEPOINT here; {setting} search_path = {south.schema}, {SHARED_SCHEMA}")
        for table in ("entities", "tenants"):
            await db.execute("SAVEPOINT look")
            with pytest.raises(asyncpg.UndefinedTableError):
                await db.fetch(f"SELECT * FROM {table}")
            await db.execute("ROLLBACK TO SAVEPOINT look")
        await db.execute("ROLLBACK TO SAVEPOINT here")


async def test_tenant_cannot_open_its_own_tables_to_a_neighbour(pair: Neighbours, north: Scope, south: Scope) -> None:
    async with pair.database.inside(north) as db:
        await db.execute(f"GRANT SELECT ON entities TO {south.role}")
    async with pair.database.shared() as db:
        entities = await db.fetchval(
            "SELECT oid FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relname = 'entities'", north.schema
        )
        assert await db.fetchval("SELECT has_table_privilege($1, $2::oid, 'SELECT')", north.role, entities) is True
        assert await db.fetchval("SELECT has_table_privilege($1, $2::oid, 'SELECT')", south.role, entities) is False


async def test_statistics_and_running_statements_of_a_neighbour_stay_hidden(
    cluster: EmbeddedPostgres, pair: Neighbours, north: Scope, south: Scope
) -> None:
    async with as_superuser(cluster, pair) as superuser:
        await superuser.execute(f"ANALYZE {south.schema}.entities")
        seen = "SELECT count(*) FROM pg_stats WHERE schemaname = $1"
        assert await superuser.fetchval(seen, south.schema)
        async with (
            Database(pair.addresses.serving, size=1) as beside,
            beside.inside(south) as busy,
            pair.database.inside(north) as db,
        ):
            await busy.execute("SELECT 'a secret of the south'")
            assert await db.fetchval(seen, south.schema) == 0
            running = await db.fetch("SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
            assert not [row["query"] for row in running if "south" in (row["query"] or "")]


async def test_serving_login_itself_reaches_no_table_of_a_tenant(pair: Neighbours, south: Scope) -> None:
    for statement in ("SELECT count(*) FROM {}", "DELETE FROM {}", "DROP TABLE {}"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with pair.database.shared() as db:
                await db.execute(statement.format(f"{south.schema}.entities"))


async def test_catalogue_gives_a_tenants_role_no_right_outside_its_schema(pair: Neighbours) -> None:
    async with pair.database.shared() as db:
        for tenant in pair.tenants:
            schemas = await db.fetch(
                "SELECT nspname FROM pg_namespace WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'public') "
                "AND has_schema_privilege($1, oid, 'USAGE, CREATE')",
                tenant.role,
            )
            assert [row["nspname"] for row in schemas] == [tenant.schema]
            assert not await db.fetchval(
                "SELECT count(*) FROM pg_namespace WHERE has_schema_privilege($1, oid, 'CREATE')", tenant.role
            )
            rights = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER"
            assert not await db.fetch(
                "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                "WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') "
                "AND n.nspname <> $2 AND has_table_privilege($1, c.oid, $3)",
                tenant.role,
                tenant.schema,
                rights,
            )


async def test_tenants_role_is_in_no_other_role_and_nobody_but_the_login_may_step_into_it(pair: Neighbours) -> None:
    async with pair.database.shared() as db:
        for tenant in pair.tenants:
            attributes = await db.fetchrow(
                """
                SELECT rolcanlogin OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication AS any,
                       (SELECT count(*) FROM pg_auth_members m WHERE m.member = r.oid) AS memberships,
                       (SELECT array_agg(DISTINCT m.member::regrole::text)
                        FROM pg_auth_members m WHERE m.roleid = r.oid) AS members,
                       (SELECT count(*) FROM pg_class c WHERE c.relowner = r.oid) AS owned
                FROM pg_roles r WHERE rolname = $1
                """,
                tenant.role,
            )
            assert attributes is not None
            assert dict(attributes) == {"any": False, "memberships": 0, "members": ["croft"], "owned": 0}


@pytest.mark.parametrize("statement", ["SET LOCAL ROLE {other}", "SELECT set_config('role', '{other}', true)"])
async def test_only_who_can_send_sql_of_his_own_can_step_into_another_role(
    pair: Neighbours, north: Scope, south: Scope, statement: str
) -> None:
    """The known limit of this wall: PostgreSQL checks the membership of the login, not of the present role.

    Hence the wall before it: no SQL is ever put together from what a caller sent.
    """
    async with pair.database.inside(north) as db:
        await db.execute(statement.format(other=south.role))
        rows = await db.fetch(f"SELECT guid FROM {south.schema}.entities ORDER BY guid")
        assert [row["guid"] for row in rows] == guids_of("south")


async def test_leaving_the_role_opens_the_shared_schema_but_no_tenant(pair: Neighbours, north: Scope) -> None:
    """The other half of the known limit: RESET ROLE gives back the login, which owns no tenant's table."""
    async with pair.database.inside(north) as db:
        await db.execute("RESET ROLE")
        assert await db.fetchval(f"SELECT count(*) FROM {SHARED_SCHEMA}.tenants") == len(pair.tenants)
        await db.execute("SAVEPOINT here")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.fetch(f"SELECT guid FROM {north.schema}.entities")
        await db.execute("ROLLBACK TO SAVEPOINT here")


async def test_installing_takes_temporary_tables_from_everybody(cluster: EmbeddedPostgres, pair: Neighbours) -> None:
    async with as_superuser(cluster, pair) as superuser:
        await superuser.execute("CREATE DATABASE with_temp OWNER croft")
    dsn = cluster.dsn(database="with_temp")
    await install_shared_schema(Addresses(dsn, dsn))
    db = await asyncpg.connect(dsn)
    try:
        assert await db.fetchval("SELECT has_database_privilege('pg_monitor', current_database(), 'TEMP')") is False
    finally:
        await db.close()


# What does not outlive its transaction


async def give_up(work: Awaitable[None], turns: int) -> bool:
    """Cancels the work after so many turns of the event loop; answers whether it was done by then."""
    task = asyncio.ensure_future(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    done = task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return done


async def session(database: Database) -> dict[str, object]:
    """What the one connection of the pool says of itself between transactions."""
    async with database.pool.acquire() as db:
        return dict(await db.fetchrow(SESSION) or {})


async def new_session(pair: Neighbours) -> dict[str, object]:
    """What a connection says of itself that was never used before."""
    db = await asyncpg.connect(pair.addresses.serving)
    try:
        return dict(await db.fetchrow(SESSION) or {})
    finally:
        await db.close()


async def end_by_commit(database: Database, scope: Scope) -> None:
    async with database.inside(scope) as db:
        await guids(db)


async def end_by_fault(database: Database, scope: Scope) -> None:
    with suppress(Changed):
        async with database.inside(scope) as db:
            await guids(db)
            raise Changed


async def end_by_database_error(database: Database, scope: Scope) -> None:
    with pytest.raises(asyncpg.DivisionByZeroError):
        async with database.inside(scope, readonly=True) as db:
            await db.execute("SELECT 1 / 0")


async def end_by_timeout(database: Database, scope: Scope) -> None:
    with pytest.raises(asyncpg.QueryCanceledError):
        async with database.inside(scope, patience=0.01) as db:
            await db.execute("SELECT pg_sleep(60)")


async def end_by_unknown_scope(database: Database, scope: Scope) -> None:
    with pytest.raises(asyncpg.InvalidParameterValueError):
        async with database.inside(Scope(scope.schema, "t_nobody")):
            pytest.fail("the scope was entered")


async def end_by_cancellation(database: Database, scope: Scope) -> None:
    working = asyncio.Event()

    async def work() -> None:
        async with database.inside(scope) as db:
            working.set()
            await db.execute("SELECT pg_sleep(60)")

    task = asyncio.create_task(work())
    await working.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def end_by_cancellation_anywhere(database: Database, scope: Scope) -> None:
    """Cancels after every number of turns of the loop that a whole transaction takes."""

    async def work() -> None:
        async with database.inside(scope) as db:
            await guids(db)

    turns = 0
    while not await give_up(work(), turns):
        turns += 1


async def end_after_released_savepoint(database: Database, scope: Scope) -> None:
    async with database.inside(scope) as db:
        await db.execute("SAVEPOINT here; SET LOCAL statement_timeout = 1234; RELEASE SAVEPOINT here")
        await guids(db)


async def end_after_rolled_back_savepoint(database: Database, scope: Scope) -> None:
    async with database.inside(scope) as db:
        await db.execute("SAVEPOINT here")
        with pytest.raises(asyncpg.DivisionByZeroError):
            await db.execute("SELECT 1 / 0")
        await db.execute("ROLLBACK TO SAVEPOINT here")
        assert await guids(db)


async def end_within_nested_scope(database: Database, scope: Scope) -> None:
    with pytest.raises(Changed):
        async with database.shared() as db, scoped(db, scope):
            raise Changed


async def end_by_stray_commit(database: Database, scope: Scope) -> None:
    async with database.inside(scope) as db:
        await db.execute("COMMIT")
        with pytest.raises(asyncpg.UndefinedTableError):
            await guids(db)


@pytest.mark.parametrize(
    "end",
    [
        end_by_commit,
        end_by_fault,
        end_by_database_error,
        end_by_timeout,
        end_by_unknown_scope,
        end_by_cancellation,
        end_by_cancellation_anywhere,
        end_after_released_savepoint,
        end_after_rolled_back_savepoint,
        end_within_nested_scope,
        end_by_stray_commit,
    ],
)
async def test_connection_is_as_before_once_the_transaction_is_over(
    pair: Neighbours, north: Scope, south: Scope, end: Callable[[Database, Scope], Awaitable[None]]
) -> None:
    before = await session(pair.database)
    await end(pair.database, north)
    after = await session(pair.database)
    assert after == await new_session(pair) | {"backend": before["backend"]}
    assert (after["role"], after["login"]) == ("none", "croft")
    async with pair.database.inside(south) as db:
        assert await guids(db) == guids_of("south")


async def test_cancelled_connection_attempt_leaves_no_noise(pair: Neighbours, north: Scope) -> None:
    """The event loop is told of nothing: the pool finds no transaction that somebody forgot."""
    told: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        await end_by_cancellation_anywhere(pair.database, north)
        await end_by_unknown_scope(pair.database, north)
    finally:
        loop.set_exception_handler(None)
    assert not told


async def test_error_that_was_passed_over_does_not_pass_for_a_commit(pair: Neighbours, north: Scope) -> None:
    with pytest.raises(asyncpg.InFailedSQLTransactionError):  # noqa: PT012
        async with pair.database.inside(north) as db:
            await db.execute("INSERT INTO entities (guid) VALUES ('lost')")
            with suppress(asyncpg.DivisionByZeroError):
                await db.execute("SELECT 1 / 0")
    async with pair.database.inside(north) as db:
        assert await guids(db) == guids_of("north")


@pytest.mark.parametrize("noticed", [False, True])
async def test_lost_connection_is_told_as_such_and_replaced(
    pair: Neighbours, north: Scope, south: Scope, noticed: bool
) -> None:
    async with Database(pair.addresses.serving, size=1) as beside:
        async with beside.shared() as db:
            lost = await db.fetchval("SELECT pg_backend_pid()")
        with pytest.raises(Exception) as raised:  # noqa: PT011, PT012
            async with beside.inside(north) as db, pair.database.shared() as other:
                await other.execute("SELECT pg_terminate_backend($1)", lost)
                while noticed and not is_closed(db):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                await db.execute("SELECT pg_sleep(60)")
        problem = problem_of(raised.value)
        assert problem is not None
        assert problem.code == "database.unavailable"
        async with beside.inside(south) as db:
            assert await guids(db) == guids_of("south")


async def test_what_was_set_on_the_session_does_not_reach_into_a_scope(
    cluster: EmbeddedPostgres, pair: Neighbours, north: Scope, south: Scope
) -> None:
    """Nobody sets anything on a session; if somebody did, the next transaction would not notice."""
    async with Database(pair.addresses.serving, size=1) as database:
        async with database.pool.acquire() as db:
            await db.execute(f"SET search_path = {north.schema}; SET ROLE {north.role}")
        async with database.inside(south) as db:
            assert await guids(db) == guids_of("south")
        async with database.shared() as db:
            assert await db.fetchval("SELECT current_user::text") == "croft"
            assert await db.fetchval("SELECT count(*) FROM tenants") == len(pair.tenants)


# Scopes within a transaction


async def test_nested_scopes_return_to_the_one_before(pair: Neighbours, north: Scope, south: Scope) -> None:
    async with pair.database.inside(north) as db:
        async with scoped(db, south):
            assert await guids(db) == guids_of("south")
            async with scoped(db, None):
                assert await db.fetchval("SELECT count(*) FROM tenants") == len(pair.tenants)
                async with scoped(db, north):
                    assert await guids(db) == guids_of("north")
            assert await guids(db) == guids_of("south")
        assert await guids(db) == guids_of("north")
        await db.execute("SAVEPOINT here")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.fetch(f"SELECT guid FROM {south.schema}.entities")
        await db.execute("ROLLBACK TO SAVEPOINT here")


async def test_fault_within_a_nested_scope_returns_to_the_one_before(
    pair: Neighbours, north: Scope, south: Scope
) -> None:
    async with pair.database.inside(north) as db:
        with pytest.raises(Changed):
            async with scoped(db, south):
                raise Changed
        assert await guids(db) == guids_of("north")


async def test_database_error_within_a_nested_scope_returns_with_the_savepoint(
    pair: Neighbours, north: Scope, south: Scope
) -> None:
    async with pair.database.inside(north) as db:
        await db.execute("SAVEPOINT here")
        with pytest.raises(asyncpg.DivisionByZeroError):
            async with scoped(db, south):
                await db.execute("SELECT 1 / 0")
        await db.execute("ROLLBACK TO SAVEPOINT here")
        assert await guids(db) == guids_of("north")


async def test_released_savepoint_does_not_keep_the_nested_scope(pair: Neighbours, north: Scope, south: Scope) -> None:
    async with pair.database.inside(north) as db:
        await db.execute("SAVEPOINT here")
        async with scoped(db, south):
            assert await guids(db) == guids_of("south")
        await db.execute("RELEASE SAVEPOINT here")
        assert await guids(db) == guids_of("north")


async def test_scope_that_is_given_up_at_any_moment_is_not_kept(pair: Neighbours, north: Scope, south: Scope) -> None:
    """A part of the work takes too long and the rest goes on: in the scope of before, or not at all."""

    async def visit(db: Connection) -> None:
        async with scoped(db, south):
            await db.execute("SELECT guid FROM entities")

    turns, done, went_on = 0, False, 0
    while not done:
        with suppress(asyncpg.InFailedSQLTransactionError, asyncpg.ConnectionDoesNotExistError):
            async with pair.database.inside(north) as db:
                done = await give_up(visit(db), turns)
                assert await guids(db) == guids_of("north")
                went_on += 1
        turns += 1
    assert went_on


async def test_names_with_quotes_stay_names(cluster: EmbeddedPostgres, pair: Neighbours) -> None:
    """A schema and role whose names would be SQL if they were not quoted."""
    name = 't_"; RESET ROLE; --'
    quoted = '"' + name.replace('"', '""') + '"'
    async with as_superuser(cluster, pair) as db:
        await db.execute(
            f"CREATE ROLE {quoted}; GRANT {quoted} TO croft; CREATE SCHEMA {quoted} AUTHORIZATION {quoted}"
        )
    async with pair.database.inside(Scope(name, name)) as db:
        assert await db.fetchval("SELECT current_user::text") == name
        assert await db.fetchval("SELECT current_schema()::text") == name
