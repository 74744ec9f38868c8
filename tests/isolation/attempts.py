"""What somebody could try who had brought SQL of his own into a tenant's scope, what becomes of it, and why.

REFUSED: PostgreSQL does not let the tenant's role. EMPTY: it answers, and shows nothing. ABSENT: there is none.
POSSIBLE: it is done; then the reason says why that is accepted, or cannot be helped. What is possible is what the first
wall is for: no SQL is ever put together from what a caller sent.
"""

from dataclasses import dataclass
from typing import Final, Literal

Outcome = Literal["refused", "empty", "absent", "possible"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """`statement` may name {own} and {other} (schemas), {own_role} and {other_role}, {owner} (who owns the tables),
    {table} (the number of a neighbour's table) and {database}."""

    statement: str
    outcome: Outcome
    why: str


_NO_USAGE = "the role may use its own schema alone"
_OWNER = "the owner of the tables is another role"
_APPEND_ONLY = "the log is added to by its function alone"
_SUPERUSER = "for superusers and the roles that they name"
_NAMES = "the catalogue is everybody's in PostgreSQL: names of schemas and roles are no secret, and say little"
_SIZES = "statistics without contents are everybody's in PostgreSQL: how much a neighbour has, not what"
_SWITCH = "membership is checked against the login, which has to step into every tenant's role"
_OWN_LOSS = "it harms the tenant itself and nobody else"
_SESSION = "it stays with the connection, where only SQL of the same kind could find it"

ATTEMPTS: Final = {
    "select": (
        Attempt("SELECT * FROM entities", "possible", "its own"),
        Attempt("SELECT * FROM acts", "possible", "its own log, which its administrators may read"),
        Attempt("SELECT * FROM {other}.entities", "refused", _NO_USAGE),
        Attempt("TABLE {other}.acts", "refused", _NO_USAGE),
        Attempt("SELECT * FROM croft.tenants", "refused", _NO_USAGE),
        Attempt("SELECT * FROM croft.users", "refused", _NO_USAGE),
        Attempt("SELECT * FROM croft.audit", "refused", _NO_USAGE),
        Attempt("SELECT * FROM croft.config_versions", "refused", _NO_USAGE),
        Attempt("SELECT query_to_xml('SELECT * FROM {other}.entities', true, true, '')", "refused", _NO_USAGE),
        Attempt("SELECT * FROM _migrations", "refused", _OWNER),
        Attempt(
            "SELECT table_type::text FROM information_schema.tables "
            "WHERE table_schema = '{other}' AND table_name = 'acts'",
            "empty",
            _NO_USAGE,
        ),
    ),
    "insert, update, delete": (
        Attempt("INSERT INTO {other}.entities (guid) VALUES ('x')", "refused", _NO_USAGE),
        Attempt("UPDATE croft.users SET role = 'ADMIN'", "refused", _NO_USAGE),
        Attempt("DELETE FROM croft.tenants", "refused", _NO_USAGE),
        Attempt("DELETE FROM events", "refused", "the log of events is never deleted from"),
        Attempt("UPDATE events SET data = '{{}}'", "refused", "an event stays what was pushed"),
        Attempt("INSERT INTO acts (id) VALUES (1)", "refused", _APPEND_ONLY),
        Attempt("UPDATE acts SET actor = 'nobody'", "refused", _APPEND_ONLY),
        Attempt("DELETE FROM acts", "refused", _APPEND_ONLY),
        Attempt("UPDATE acts_head SET last = 0", "refused", _APPEND_ONLY),
        Attempt("TRUNCATE acts", "refused", _APPEND_ONLY),
        Attempt("UPDATE entities SET name = 'x'", "possible", "its own; folding the log anew brings it back"),
        Attempt("DELETE FROM entities", "possible", "its own; folding the log anew brings it back"),
    ),
    "copy": (
        Attempt("COPY entities TO '/tmp/entities'", "refused", _SUPERUSER),
        Attempt("COPY entities FROM '/etc/passwd'", "refused", _SUPERUSER),
        Attempt("COPY entities TO PROGRAM 'cat'", "refused", _SUPERUSER),
        Attempt("COPY {other}.entities TO STDOUT", "refused", _NO_USAGE),
    ),
    "create": (
        Attempt("CREATE TABLE {own}.made (id int)", "refused", _OWNER),
        Attempt("CREATE TABLE public.made (id int)", "refused", "nobody may create in public"),
        Attempt("CREATE VIEW {own}.made AS SELECT 1", "refused", _OWNER),
        Attempt("CREATE FUNCTION {own}.made() RETURNS int LANGUAGE sql AS 'SELECT 1'", "refused", _OWNER),
        Attempt("CREATE SCHEMA made", "refused", "only the owner may create in the database"),
        Attempt("CREATE EXTENSION dblink", "absent", "no extension comes along"),
        Attempt("CREATE ROLE made", "refused", "the role may not create roles"),
        Attempt("CREATE PUBLICATION made", "refused", "only the owner may create in the database"),
        Attempt("CREATE EVENT TRIGGER made ON ddl_command_end EXECUTE FUNCTION f()", "refused", _SUPERUSER),
        Attempt("CREATE TRIGGER made AFTER INSERT ON acts EXECUTE FUNCTION f()", "refused", _OWNER),
        Attempt("CREATE POLICY made ON entities USING (true)", "refused", _OWNER),
        Attempt("ALTER TABLE acts DISABLE TRIGGER ALL", "refused", _OWNER),
        Attempt("DROP TABLE acts", "refused", _OWNER),
        Attempt("SET LOCAL log_statement = 'all'", "refused", _SUPERUSER),
    ),
    "temporary tables": (
        Attempt("CREATE TEMP TABLE made (id int)", "refused", "TEMP is revoked: one would hide the tenant's own table"),
        Attempt("CREATE TEMP VIEW made AS SELECT 1", "refused", "TEMP is revoked"),
        Attempt("SELECT * INTO TEMP made FROM entities", "refused", "TEMP is revoked"),
        Attempt(
            "DECLARE made CURSOR WITH HOLD FOR SELECT * FROM entities",
            "possible",
            f"a copy of its own rows; {_SESSION}",
        ),
        Attempt("PREPARE made AS SELECT 1", "possible", _SESSION),
    ),
    "large objects": (
        Attempt("SELECT lo_create(0)", "refused", "revoked from everybody: they belong to no schema"),
        Attempt("SELECT lo_from_bytea(0, 'x')", "refused", "revoked from everybody"),
        Attempt("SELECT lo_get(1)", "refused", "revoked from everybody"),
        Attempt("SELECT lo_put(1, 0, 'x')", "refused", "revoked from everybody"),
        Attempt("SELECT lo_open(1, 262144)", "refused", "revoked from everybody"),
        Attempt("SELECT lo_unlink(1)", "refused", "revoked from everybody"),
        Attempt("SELECT lo_import('/etc/passwd')", "refused", _SUPERUSER),
        Attempt("SELECT lo_export(1, '/tmp/x')", "refused", _SUPERUSER),
        Attempt("SELECT * FROM pg_largeobject", "refused", _SUPERUSER),
        Attempt("SELECT * FROM pg_largeobject_metadata", "empty", "there are none"),
    ),
    "functions": (
        Attempt(
            "SELECT append_act('1', '', '', 'a', 'b', NULL, '{{}}')",
            "possible",
            "the only way into its own log: who gets so far can add an act, and never take one away",
        ),
        Attempt(
            "SELECT erase_acts('1', '', '', 'b', ARRAY[1])",
            "possible",
            "an act says which details were erased, and the chain holds: it cannot be done in secret",
        ),
        Attempt("SELECT {other}.append_act('1', '', '', 'a', 'b', NULL, '{{}}')", "refused", _NO_USAGE),
        Attempt("SELECT croft.append_act('1', '', '', 'a', 'b', NULL, '{{}}')", "refused", _NO_USAGE),
        Attempt(
            "CREATE OR REPLACE FUNCTION {own}.erase_acts(actor text, session_id text, address text, subject text, "
            "ids bigint[]) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
            "refused",
            _OWNER,
        ),
        Attempt("ALTER FUNCTION append_act RENAME TO made", "refused", _OWNER),
        Attempt("DROP FUNCTION append_act", "refused", _OWNER),
        Attempt("SELECT dblink('dbname={database}', 'SELECT 1')", "absent", "no extension is installed"),
        Attempt("SELECT pg_read_file('postgresql.conf')", "refused", _SUPERUSER),
        Attempt("SELECT pg_ls_dir('.')", "refused", _SUPERUSER),
        Attempt("SELECT pg_stat_file('postgresql.conf')", "refused", _SUPERUSER),
        Attempt("SELECT pg_reload_conf()", "refused", _SUPERUSER),
        Attempt("SELECT pg_switch_wal()", "refused", _SUPERUSER),
        Attempt("SELECT pg_stat_reset()", "refused", _SUPERUSER),
        Attempt("SELECT pg_terminate_backend(pg_backend_pid())", "refused", "the role is no member of the login's"),
        Attempt("SELECT pg_cancel_backend(pg_backend_pid())", "refused", "the role is no member of the login's"),
        Attempt("SELECT pg_create_logical_replication_slot('x', 'y')", "refused", "the role may not replicate"),
        Attempt("SELECT pg_logical_emit_message(false, 'x', 'y')", "possible", "nobody reads it; it costs some WAL"),
        Attempt("SELECT pg_sleep(0.001)", "possible", "bounded by statement_timeout and the time of a request"),
        Attempt("SET LOCAL statement_timeout = 0", "possible", "the time of a request bounds it all the same"),
        Attempt(
            "DO $$ BEGIN PERFORM 1; END $$", "possible", "a procedure of its own has no other rights than the role"
        ),
        Attempt("DO $$ BEGIN PERFORM 1 FROM {other}.entities; END $$", "refused", _NO_USAGE),
        Attempt("LOAD 'auto_explain'", "refused", _SUPERUSER),
    ),
    "notices and locks": (
        Attempt("NOTIFY x", "possible", "needs no right in PostgreSQL; it can wake a listener, who finds nothing new"),
        Attempt("SELECT pg_notify('x', 'y')", "possible", "as NOTIFY, which cannot be refused"),
        Attempt("LISTEN x", "possible", "needs no right in PostgreSQL; a notice says a tenant's number, and no data"),
        Attempt(
            "SELECT pg_advisory_xact_lock(1)",
            "possible",
            "installing and provisioning use them; it ends with the transaction, whose time is bounded",
        ),
        Attempt("SELECT pg_advisory_lock(1)", "refused", "revoked from everybody: it would outlive the transaction"),
        Attempt("SELECT pg_try_advisory_lock_shared(1, 1)", "refused", "revoked from everybody"),
        Attempt("LOCK TABLE {other}.entities IN ACCESS SHARE MODE", "refused", _NO_USAGE),
        Attempt("LOCK TABLE entities IN ACCESS EXCLUSIVE MODE", "possible", _OWN_LOSS),
    ),
    "catalogue": (
        Attempt("SELECT nspname FROM pg_namespace WHERE nspname = '{other}'", "possible", _NAMES),
        Attempt("SELECT relname FROM pg_class WHERE oid = {table}", "possible", _NAMES),
        Attempt("SELECT rolname FROM pg_roles WHERE rolname = '{other_role}'", "possible", _NAMES),
        Attempt("SELECT datname FROM pg_database", "possible", _NAMES),
        Attempt("SELECT prosrc FROM pg_proc WHERE proname = 'append_act'", "possible", "what it does is in the open"),
        Attempt("SELECT n_live_tup FROM pg_stat_all_tables WHERE relid = {table}", "possible", _SIZES),
        Attempt("SELECT pg_relation_size({table}::oid)", "possible", _SIZES),
        Attempt("SELECT pid FROM pg_locks", "possible", _SIZES),
        Attempt(
            "SELECT 1 FROM pg_stats WHERE schemaname = '{other}'", "empty", "samples of values need a right to see"
        ),
        Attempt("SELECT starelid FROM pg_statistic", "refused", _SUPERUSER),
        Attempt("SELECT * FROM pg_authid", "refused", "it holds the hashes of passwords"),
        Attempt("SELECT * FROM pg_shadow", "refused", "it holds the hashes of passwords"),
        Attempt("SELECT passwd FROM pg_user WHERE passwd <> '********'", "empty", "it is starred out"),
        Attempt("SELECT pid FROM pg_stat_activity", "possible", "that there are connections; what they run is hidden"),
        Attempt(
            "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND query NOT IN ('<insufficient privilege>', '')",
            "empty",
            "what others run is hidden from who is not their role",
        ),
        Attempt("SELECT * FROM pg_hba_file_rules", "refused", _SUPERUSER),
        Attempt("SELECT setting FROM pg_settings WHERE name = 'data_directory'", "empty", _SUPERUSER),
        Attempt("UPDATE pg_class SET relowner = 0", "refused", _SUPERUSER),
    ),
    "switching role": (
        Attempt("SET LOCAL ROLE {other_role}", "possible", _SWITCH),
        Attempt("SELECT set_config('role', '{other_role}', true)", "possible", _SWITCH),
        Attempt("RESET ROLE", "possible", "it gives back the login, which owns nothing and reads no tenant's table"),
        Attempt("SET LOCAL ROLE NONE", "possible", "as RESET ROLE"),
        Attempt(
            "SET LOCAL ROLE {owner}",
            "possible",
            "where the serving login makes tenants, too; it is refused where another login does, "
            "as deploy/runbooks/managed-postgresql.md sets it up",
        ),
        Attempt("SET LOCAL ROLE postgres", "refused", "the login is no superuser"),
        Attempt("SET LOCAL ROLE pg_read_all_data", "refused", "the login has no such role"),
        Attempt("SET LOCAL ROLE pg_execute_server_program", "refused", "the login has no such role"),
        Attempt("SET SESSION AUTHORIZATION {other_role}", "refused", _SUPERUSER),
        Attempt("GRANT {other_role} TO {own_role}", "refused", "the role administers no role"),
        Attempt("ALTER ROLE {own_role} CREATEROLE", "refused", "the role administers no role"),
        Attempt("SET LOCAL session_replication_role = replica", "refused", _SUPERUSER),
        Attempt("SET LOCAL row_security = off", "possible", "it makes a query fail where a policy would hide rows"),
        Attempt(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "possible",
            "the role never makes a table; what it notes goes when the tenant is purged",
        ),
        Attempt("DROP OWNED BY CURRENT_USER", "possible", _OWN_LOSS),
        Attempt("REASSIGN OWNED BY CURRENT_USER TO {other_role}", "refused", "the role is not in the other one"),
    ),
}
