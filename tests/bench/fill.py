"""Tables filled with what pushes of very many people would have left there, in seconds."""

import asyncio
from collections.abc import Sequence
from typing import Final

from server.db import Scope
from server.db.scope import quoted
from server.entities.names import name_parts
from tests.bench.connection import connected
from tests.bench.people import NAMES


class Filling:
    """Fills tenants of one database, which must be empty, with the first of the same people each."""

    def __init__(self, superuser_dsn: str) -> None:
        self._dsn = superuser_dsn

    def make_people(self, amount: int) -> None:
        """Makes the people once, beside the tenants. What was made before is replaced."""
        asyncio.run(self._make_people(amount))

    def fill(self, scopes: Sequence[Scope], amount: int) -> None:
        """Puts the first `amount` of the people into each of the tenants, as if pushed 100 at a time by 50 devices."""
        asyncio.run(self._fill_all(scopes, amount))

    async def _make_people(self, amount: int) -> None:
        async with connected(self._dsn) as db:
            await db.execute(_STAGE)
            parts = [(place, name, name_parts(name)) for place, name in enumerate(NAMES)]
            await db.copy_records_to_table("names", schema_name=_SCHEMA, records=parts)
            await db.execute(_MAKE_PEOPLE.format(amount=amount, names=len(NAMES)))

    async def _fill_all(self, scopes: Sequence[Scope], amount: int) -> None:
        await asyncio.gather(*(self._fill(scope, amount) for scope in scopes))
        async with connected(self._dsn) as db:
            await db.execute("CHECKPOINT")

    async def _fill(self, scope: Scope, amount: int) -> None:
        async with connected(self._dsn, search_path=quoted(scope.schema), **_IN_BULK) as db:
            indexes = await db.fetch(_INDEXES)
            for index in indexes:
                await db.execute(index["drop"])
            for statement in _FILL:
                await db.execute(statement.format(amount=amount))
            for index in indexes:
                await db.execute(index["make"])
            for table in await db.fetch(_TABLES):
                await db.execute(f"VACUUM (ANALYZE) {table['name']}")


_IN_BULK: Final = {"synchronous_commit": "off", "maintenance_work_mem": "512MB", "work_mem": "128MB"}

_SCHEMA: Final = "bench"

_STAGE: Final = f"""
DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE;
CREATE SCHEMA {_SCHEMA};
CREATE UNLOGGED TABLE {_SCHEMA}.names (place integer PRIMARY KEY, name text, parts text[])
"""

_MAKE_PEOPLE: Final = f"""
CREATE UNLOGGED TABLE {_SCHEMA}.people AS
SELECT n, gen_random_uuid()::text AS guid, gen_random_uuid()::text AS entity_guid, name, parts,
       1769846400000 + n * 100 AS ms,
       to_char(timestamp '2026-01-31' + n * interval '0.1 second', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS timestamp,
       json_build_object(
           'entityName', 'individual', 'name', name,
           'dateOfBirth', date '1940-01-01' + ((n / {{names}} * 7919 + place::bigint * 31) % 25550)::integer,
           'gender', CASE WHEN n % 2 = 1 THEN 'female' ELSE 'male' END,
           'village', (ARRAY['Ban Na', 'Kibera', 'San Juan', 'Al Mafraq', 'Adi Keyh', 'Zolochiv'])[n % 6 + 1],
           'phone', '+2547' || lpad((n * 7654321 % 100000000)::text, 8, '0'), 'householdSize', n % 9 + 1
       ) AS data
FROM generate_series(0::bigint, {{amount}} - 1) AS n JOIN {_SCHEMA}.names ON place = n % {{names}}
"""

_INDEXES: Final = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS drop,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS make
FROM pg_constraint
WHERE connamespace = current_schema()::regnamespace AND contype IN ('p', 'u')
  AND conrelid IN ('events'::regclass, 'mentions'::regclass, 'entities'::regclass, 'duplicate_keys'::regclass)
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid)
FROM pg_index
WHERE indrelid IN ('events'::regclass, 'mentions'::regclass, 'entities'::regclass, 'duplicate_keys'::regclass)
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
"""

_TABLES: Final = """
SELECT oid::regclass::text AS name FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
"""

_PEOPLE: Final = f"(SELECT * FROM {_SCHEMA}.people WHERE n < {{amount}} ORDER BY n) AS p"

_FILL: Final = (
    f"""
    INSERT INTO events (seq, guid, entity_guid, type, data, timestamp, timestamp_ms, effective_ms, user_id, account,
                        device_id, received_at, digest, outcome)
    SELECT n + 1, guid, entity_guid, 'create-individual', data, timestamp, ms, ms, '7', '1', 'tablet-' || n / 100 % 50,
           '2026-02-01', sha256(guid::bytea), 'applied'
    FROM {_PEOPLE}
    """,
    f"INSERT INTO mentions (entity_guid, seq) SELECT entity_guid, n + 1 FROM {_PEOPLE}",
    f"""
    INSERT INTO entities (guid, state, created, name, entity_name, version, data, updated_ms, newest, born, fed_seq,
                          name_parts)
    SELECT entity_guid, 'live', true, name, 'individual', 1, data, ms, jsonb_build_array(ms, ms, 0, guid),
           jsonb_build_array(ms, ms, 0, guid, 0), n + 1, parts
    FROM {_PEOPLE}
    """,
    f"""
    INSERT INTO duplicate_keys (entity_guid, key, rule)
    SELECT entity_guid, hashtextextended(entity_guid, rule), (ARRAY['name + dateOfBirth', 'phone'])[rule]
    FROM {_PEOPLE}, generate_series(1, 2) AS rule
    """,
    """
    INSERT INTO pushes (last_seq, first_seq, epoch, account, device_id, received_at, link)
    SELECT last, last - (last - 1) % 100, (SELECT epoch FROM sync_head), '1', 'tablet-' || (last - 1) / 100 % 50,
           '2026-02-01', sha256(int8send(last))
    FROM generate_series(100::bigint, {amount}, 100) AS last
    """,
    """
    INSERT INTO devices (id, account, last_push)
    SELECT 'tablet-' || n, '1', '2026-02-01' FROM generate_series(0, 49) AS n
    """,
    "INSERT INTO entity_counts (form, n) VALUES ('individual', {amount})",
    "UPDATE duplicates_progress SET seq = {amount}",
    """
    UPDATE sync_head
    SET head = {amount}, link = (SELECT link FROM pushes ORDER BY last_seq DESC LIMIT 1),
        previous = (SELECT link FROM pushes ORDER BY last_seq DESC OFFSET 1 LIMIT 1)
    """,
)
