"""Making a tenant: row, role, schema, tables and first config, all in the caller's transaction.

PostgreSQL rolls DDL and roles back like anything else, so a failure or a kill at any step leaves nothing.
"""

import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from server.app_configs.model import AppConfig
from server.audit import Author, record
from server.db import Connection, Scope, scoped
from server.db.installation import create_role, grant_role
from server.db.migrations import apply_migrations, tenant_migrations
from server.health.queries import cluster_identity
from server.tenants import queries
from server.tenants.model import Tenant
from server.tenants.owning import owner_role
from server.tenants.predecessors import tell_of_predecessors
from server.tenants.versioning import LoadEvents, lock_living, store_version
from server.vault import Keyring

STEPS: Final = ("role", "row", "schema", "migrations", "head", "predecessors", "config", "record")
"""The names of the steps in their order. Each is told of when it is done."""

OnStep = Callable[[str], Awaitable[None]]

_LONGEST_SLUG = 30
# A phone of a deleted tenant holds a position of its own; that it lies in this one's range has to be unlikely.
_FIRST_BASES = 1_000_000_000


async def provision(
    db: Connection,
    config: AppConfig,
    author: Author,
    load: LoadEvents,
    keyring: Keyring,
    *,
    on_step: OnStep | None = None,
) -> Tenant:
    """Makes the tenant of a config whose id no living tenant has; the caller holds the lock of the config id."""
    done = on_step or _nothing
    owner = await owner_role(db)
    stem = schema_stem(config.id)
    role = await _create_role(db, stem)
    await done("role")
    schema = f"{stem}_{secrets.token_hex(4)}"
    tenant_id = await queries.insert_tenant(
        db,
        config_id=config.id,
        artifact_id=str(uuid4()),
        name=config.name,
        schema=schema,
        role=role,
        at=author.at,
    )
    await done("row")
    await _build_schema(db, tenant_id, Scope(schema, role), owner, done)
    await tell_of_predecessors(db, await lock_living(db, tenant_id))
    await done("predecessors")
    tenant = await store_version(db, tenant_id, config, author, load, keyring)
    await done("config")
    after = {"name": tenant.name, "version": tenant.version, "forms": [form.name for form in config.forms]}
    details = {"schema": schema}
    await record(db, author, "tenant.provisioned", tenant.subject, tenant=tenant, after=after, details=details)
    await done("record")
    return tenant


async def _create_role(db: Connection, stem: str) -> str:
    """A role into which the login that serves can step, and this one, which may be another."""
    here, serving = await queries.session_login(db), await queries.serving_login(db)
    role = await create_role(db, stem, grant_to=here)
    if serving != here:
        await grant_role(db, role, serving)
    return role


async def _build_schema(db: Connection, tenant_id: int, scope: Scope, owner: str, done: OnStep) -> None:
    cluster = await cluster_identity(db)
    async with scoped(db, Scope(scope.schema, owner)):
        await queries.create_schema(db, scope.schema, owner, scope.role)
        await done("schema")
        await apply_migrations(db, tenant_migrations(), {"role": scope.role})
        await done("migrations")
        base, carrier_key = secrets.randbelow(_FIRST_BASES), secrets.token_bytes(32)
        await queries.insert_head(db, secrets.token_hex(8), base, carrier_key, cluster)
        await done("head")
    await queries.set_schema_version(db, tenant_id, tenant_migrations()[-1].id)


def schema_stem(config_id: str) -> str:
    """What of a config id stands in the names of schema and role: lower-case letters, digits and `_`, at most 32.

    The random part that follows it makes them unique.
    """
    return "t_" + re.sub(r"[^a-z0-9_]", "_", config_id.lower())[:_LONGEST_SLUG]


async def _nothing(_: str) -> None:
    pass
