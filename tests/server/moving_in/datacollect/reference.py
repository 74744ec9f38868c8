"""A database in the layout of an ID PASS DataCollect server, with what has gathered in one over years.

Three tenants share its tables: `north`, awkward in every way; `south`, in whose tables the same guids are found;
`taken`, whose id somebody has already on the server that takes over.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

import asyncpg
import bcrypt

from server.db.embedded import EmbeddedPostgres

PASSWORD = "Field-Work-7"
ARTIFACT = "0123456789abcdef0123456789abcdef"
SOUTH_ARTIFACT = "fedcba9876543210fedcba9876543210"

_numbers = count(1)

_TABLES = """
CREATE TABLE users (id serial PRIMARY KEY, email text UNIQUE NOT NULL, password_hash text NOT NULL, role text NOT NULL);
CREATE TABLE app_configs (
    id text PRIMARY KEY, artifact_id text, name text NOT NULL, description text, version text, url text,
    entity_forms jsonb NOT NULL, entity_data jsonb, external_sync jsonb, auth_configs jsonb);
CREATE TABLE events (
    guid text PRIMARY KEY, tenant_id text NOT NULL DEFAULT 'default', entity_guid text, type text, data jsonb,
    timestamp timestamptz, user_id text, sync_level integer);
CREATE TABLE audit_log (
    id serial PRIMARY KEY, tenant_id text NOT NULL DEFAULT 'default', action text, guid text, entity_guid text,
    event_guid text, changes jsonb, signature text, user_id text, timestamp timestamptz);
CREATE TABLE entities (
    id text, guid text, initial jsonb, modified jsonb, sync_level text, last_updated timestamp,
    tenant_id text NOT NULL DEFAULT 'default', PRIMARY KEY (id, tenant_id), UNIQUE (guid, tenant_id));
CREATE TABLE potential_duplicates (
    entity_guid text, duplicate_guid text, tenant_id text NOT NULL DEFAULT 'default',
    PRIMARY KEY (entity_guid, duplicate_guid, tenant_id));
CREATE TABLE merkle_root (id serial PRIMARY KEY, tenant_id text NOT NULL DEFAULT 'default', root text);
CREATE TABLE last_remote_sync_timestamp (
    id serial PRIMARY KEY, tenant_id text NOT NULL DEFAULT 'default', timestamp timestamptz);
"""

_LATER_COLUMNS = """
ALTER TABLE users ADD tenant_ids text[] NOT NULL DEFAULT '{}', ADD role_assignments jsonb DEFAULT '[]';
ALTER TABLE app_configs ADD self_service jsonb, ADD archived_at timestamp, ADD sync_scope jsonb, ADD programs jsonb;
CREATE TABLE sync_metadata (tenant_id text, key text, value text, PRIMARY KEY (tenant_id, key));
"""


def password_hash(password: str = PASSWORD) -> str:
    """As the other server's library writes it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@dataclass
class Reference:
    """The database of the other server. What tests put into it is written as that server writes it."""

    dsn: str
    db: "asyncpg.Connection[asyncpg.Record]"

    async def config(self, config_id: str, artifact_id: str | None = None, **changes: Any) -> None:
        """An app config; keys of `changes` are columns."""
        columns: dict[str, Any] = {
            "name": f"Programme {config_id}",
            "entity_forms": [
                {"id": "household", "name": "household", "title": "Household", "formio": {"components": []}},
                {"id": "person", "name": "person", "title": "Person", "dependsOn": "household", "formio": {}},
            ],
            "entity_data": None,
            "external_sync": None,
            "auth_configs": None,
            **changes,
        }
        await self._insert("app_configs", {"id": config_id, "artifact_id": artifact_id, **columns})

    async def user(self, email: str, role: str = "USER", **columns: Any) -> None:
        """An account whose password is PASSWORD."""
        await self._insert("users", {"email": email, "password_hash": password_hash(), "role": role, **columns})

    async def event(
        self,
        tenant: str,
        guid: str,
        entity: str | None,
        kind: str | None,
        data: Any,
        at: str | None,
        user: str | None = "1",
        arrived: str | None = None,
    ) -> None:
        """An event; with `arrived` the audit log says when the server took it."""
        await self.db.execute(
            "INSERT INTO events (guid, tenant_id, entity_guid, type, data, timestamp, user_id, sync_level) "
            "VALUES ($1, $2, $3, $4, $5::jsonb, $6::text::timestamptz, $7, 1)",
            guid,
            tenant,
            entity,
            kind,
            data if isinstance(data, str) or data is None else json.dumps(data),
            at,
            user,
        )
        if arrived is not None:
            await self.entry(tenant, f"audit-of-{guid}", arrived, event_guid=guid, entity_guid=entity, action=kind)

    async def entry(self, tenant: str, guid: str | None, at: str | None, **columns: Any) -> None:
        """An entry of the audit log."""
        values = {"action": "update-individual", "entity_guid": "e", "changes": {}, "user_id": "1", **columns}
        row = {"tenant_id": tenant, "guid": guid, "signature": "", **values}
        number = await self._insert("audit_log", row)
        await self.db.execute("UPDATE audit_log SET timestamp = $2::text::timestamptz WHERE id = $1", number, at)

    async def entity(
        self,
        tenant: str,
        guid: str,
        data: Mapping[str, Any] | None,
        *,
        kind: str = "individual",
        version: int = 1,
        members: Sequence[str] | None = None,
        at: str = "2024-03-01T00:00:00.000Z",
        **more: Any,
    ) -> None:
        """A record as the other server shows it; without data its row is empty."""
        shown: dict[str, Any] | None = None
        if data is not None:
            shown = {"id": guid, "guid": guid, "type": kind, "name": data.get("name"), "version": version}
            shown |= {"data": data, "lastUpdated": at, **more}
            if members is not None:
                shown["memberIds"] = list(members)
        row = {"id": guid, "guid": guid, "initial": shown, "modified": shown, "tenant_id": tenant}
        await self._insert("entities", row)

    async def pair(self, tenant: str, entity: str, duplicate: str) -> None:
        """An open pair."""
        row = {"entity_guid": entity, "duplicate_guid": duplicate, "tenant_id": tenant}
        await self._insert("potential_duplicates", row)

    async def clear(self) -> None:
        """Empties the tables; numbers begin at 1 again."""
        await self.db.execute(
            "TRUNCATE users, app_configs, events, audit_log, entities, potential_duplicates RESTART IDENTITY"
        )

    async def fingerprint(self) -> str:
        """What is in the tables that are read, as one text: to see that nothing was changed."""
        parts = [
            await self.db.fetchval(
                f"SELECT md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) FROM {table} t"
            )
            for table in ("users", "app_configs", "events", "audit_log", "entities", "potential_duplicates")
        ]
        return " ".join(parts)

    async def _insert(self, table: str, row: Mapping[str, Any]) -> Any:
        as_json = {"entity_forms", "entity_data", "external_sync", "auth_configs", "changes", "initial", "modified"}
        as_json |= {"self_service", "sync_scope", "programs", "role_assignments"}
        values = [json.dumps(value) if name in as_json and value is not None else value for name, value in row.items()]
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        returned = "id" if table not in ("events", "potential_duplicates") else "tenant_id"
        sql = f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places}) RETURNING {returned}"
        return await self.db.fetchval(sql, *values)


@asynccontextmanager
async def reference_database(cluster: EmbeddedPostgres, *, later: bool = False) -> AsyncIterator[Reference]:
    """An empty database in the layout; `later` is that of later versions."""
    name = f"datacollect_{next(_numbers)}"
    admin = await asyncpg.connect(cluster.superuser_dsn("postgres"))
    await admin.execute(f'CREATE DATABASE "{name}" OWNER croft')
    await admin.close()
    dsn = cluster.dsn(database=name)
    db = await asyncpg.connect(dsn)
    try:
        await db.execute(_TABLES)
        if later:
            await db.execute(_LATER_COLUMNS)
        yield Reference(dsn, db)
    finally:
        await db.close()


CHILD_OF_NOBODY = {"id": "area-1", "name": "Hills"}
NAMELESS_ROW = {"name": "Shelter", "beds": 12}
NEVER_LOADED = {"id": "area-9", "name": "Coast"}


async def fill(reference: Reference) -> None:
    """The three tenants, and the accounts."""
    await _fill_north(reference)
    await _fill_south(reference)
    await reference.config("taken", "aaaabbbbccccdddd")
    await reference.event("taken", "t-1", "taken-one", "create-individual", {"name": "T"}, "2024-01-01T00:00:00Z")
    await reference.event("default", "d-1", "lost", "create-individual", {"name": "L"}, "2024-01-01T00:00:00Z")
    await reference.user("boss@field.test", "ADMIN")
    await reference.user("ann@field.test")
    await reference.user("Ann@Field.test")
    await reference.user("odd@field.test", "AUDITOR")
    await reference.user("no-address")
    await reference.db.execute("UPDATE users SET password_hash = 'plain' WHERE email = 'odd@field.test'")


async def _fill_south(reference: Reference) -> None:
    await reference.config(
        "south", SOUTH_ARTIFACT, external_sync={"type": "x", "auth": "basic", "url": "https://x.test"}
    )
    event = reference.event
    await event("south", "s-1", "ann", "create-individual", {"name": "Southern Ann"}, "2024-01-01T00:00:00Z")
    await reference.entity("south", "ann", {"name": "Southern Ann"})
    await reference.entity("south", "imported", {"name": "Only of the south"})


async def _fill_north(reference: Reference) -> None:
    rows = [CHILD_OF_NOBODY, NAMELESS_ROW, NEVER_LOADED]
    await reference.config(
        "north",
        ARTIFACT,
        version="3",
        entity_data=[{"name": "household", "data": rows}],
        external_sync={
            "type": "openspp",
            "url": "https://registry.test",
            "credentials": {"username": "u", "password": "p"},
        },
        auth_configs=[{"type": "keycloak", "fields": {"client_id": "app", "realm": "r", "url": "https://id.test"}}],
    )
    await _fill_seeds(reference)
    await _fill_people(reference)
    await _fill_groups(reference)
    await _fill_malformed(reference)
    await _fill_past_the_log(reference)
    await reference.pair("north", "twin-2", "twin-1")
    await reference.pair("north", "twin-2", "nobody")
    await reference.entry("north", None, "2024-02-01T00:00:00Z", event_guid=None, entity_guid=None)
    await reference.entry("north", "same", "2024-02-01T00:00:00Z")
    await reference.entry("north", "same", "2024-02-02T00:00:00Z")
    await reference.entry("north", "x" * 300, "2024-02-03T00:00:00Z")


async def _fill_seeds(reference: Reference) -> None:
    """Each row became a person with an event by `admin`; one was renamed since."""
    at = "2023-12-31T00:00:00Z"
    data: dict[str, Any] = {**CHILD_OF_NOBODY, "entityName": "household"}
    await reference.event("north", "seed-1", "area-1", "create-individual", data, at, "admin")
    renamed = {"name": "High Hills"}
    await reference.event("north", "seed-1b", "area-1", "update-individual", renamed, "2024-01-05T00:00:00Z")
    await reference.entity("north", "area-1", {**data, **renamed}, version=2)
    data = {**NAMELESS_ROW, "entityName": "household"}
    await reference.event("north", "seed-2", "random-guid", "create-individual", data, at, "admin")
    await reference.entity("north", "random-guid", data)


async def _fill_people(reference: Reference) -> None:
    event, at = reference.event, "2024-01-01T08:00:00.123Z"
    await event("north", "n-1", "ann", "create-individual", {"name": "Ann O'Hara", "age": 30}, at, arrived=at)
    for number in (1, 2, 3):  # of three updates in one push that server kept the first
        later = f"2024-01-02T08:00:00.00{number}Z"
        await event("north", f"n-1-{number}", "ann", "update-individual", {"age": 30 + number}, later)
    await reference.entity("north", "ann", {"name": "Ann O'Hara", "age": 31}, version=2)

    for number in (1, 2):  # the same millisecond
        await event("north", f"n-2-{number}", f"twin-{number}", "create-individual", {"name": "Twin"}, at)
        await reference.entity("north", f"twin-{number}", {"name": "Twin"})

    # A clock that was a year ahead; the audit log tells when the event came.
    await event("north", "n-3", "ahead", "create-individual", {"name": "Ahead"}, at)
    wrong = "2025-01-03T08:00:00.000Z"
    await event("north", "n-3b", "ahead", "update-individual", {"v": "wrong"}, wrong, arrived="2024-01-03T08:00:00Z")
    await event("north", "n-3c", "ahead", "update-individual", {"v": "right"}, "2024-01-04T08:00:00Z")
    await reference.entity("north", "ahead", {"name": "Ahead", "v": "right"}, version=3)

    await event("north", "n-4", "big", "create-individual", '{"name": "Big", "n": 12345678901234567000}', at)
    await event("north", "n-5", "escape", "create-individual", {"name": "\\u0000 is no NUL"}, at)
    await reference.entity("north", "escape", {"name": "\\u0000 is no NUL"})
    await event("north", "n-6", "gone", "create-individual", {"name": "Gone"}, at)
    await event("north", "n-6b", "gone", "delete-entity", {"guid": "gone"}, "2024-01-02T00:00:00Z")
    await reference.entity("north", "gone", {"name": "Gone"})
    await event("north", "n-7", "lost", "create-individual", {"name": "L'Hôpital"}, at)  # its SQL broke there
    await event("north", "n-8", "area-1", "approve", {"by": "x"}, "2024-01-06T00:00:00Z")


async def _fill_groups(reference: Reference) -> None:
    inner = {"guid": "inner", "type": "group", "name": "Inner", "members": [{"guid": "child", "name": "Child"}]}
    data = {"name": "Family", "members": [{"guid": "father", "name": "Father"}, inner]}
    await reference.event("north", "g-1", "family", "create-group", data, "2024-01-01T09:00:00Z")
    await reference.entity("north", "family", {"name": "Family"}, kind="group", members=["father", "inner"])
    await reference.entity("north", "father", {"name": "Father"})
    await reference.entity("north", "inner", {"name": "Inner", "type": "group"}, kind="group", members=["child"])
    await reference.entity("north", "child", {"name": "Child"})
    noise = {"id": "family", "guid": "family", "memberIds": ["father"], "data": {"name": "Family"}}
    await reference.event("north", "g-2", "family", "update-group", noise, "2024-01-01T10:00:00Z", "system")
    member = {"members": [{"guid": "late-child", "name": "Late"}]}
    await reference.event("north", "g-3", "never-made", "add-member", member, "2024-01-01T11:00:00Z")


async def _fill_malformed(reference: Reference) -> None:
    event, at = reference.event, "2024-01-07T00:00:00Z"
    await event("north", "bad-empty", "x-1", "create-individual", {}, at)
    await event("north", "bad-null", "x-2", "create-individual", None, at)
    await event("north", "bad-entity", None, "create-individual", {"name": "X"}, at)
    await event("north", "bad-time", "x-3", "create-individual", {"name": "X"}, None)
    await event("north", "bad-year", "x-3", "create-individual", {"name": "X"}, "infinity")
    await event("north", "bad-user", "no-user", "create-individual", {"name": "No user"}, at, None)
    await reference.entity("north", "no-user", {"name": "No user"})
    await event("north", "bad-members", "x-4", "create-group", {"name": "G", "members": "all"}, at)
    await event("north", "bad-digits", "x-5", "create-individual", '{"name": "D", "n": 12345678901234567891}', at)
    await event("north", "bad-size", "x-6", "create-individual", '{"name": "H", "n": 1e400}', at)


async def _fill_past_the_log(reference: Reference) -> None:
    """What was written into the table of entities and never was an event."""
    await reference.entity("north", "imported", {"name": "Imported", "externalId": "reg-7"})
    await reference.entity("north", "camp", {"name": "Camp"}, kind="group", members=["imported", "ann", "vanished"])
    linked = {"name": "Linked"}
    await reference.event("north", "p-1", "linked", "create-individual", linked, "2024-01-01T00:00:00Z")
    await reference.entity("north", "linked", {**linked, "externalId": "reg-8"})
    await reference.entity("north", "empty", None)
