"""The versions of a tenant's config: every upload is kept, the last one holds."""

from asyncio import to_thread
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Protocol

from server.app_configs.model import AppConfig, read_stored
from server.app_configs.seeds import seed_events
from server.db import Connection, scoped
from server.db.migrations import tenant_migrations
from server.tenants import queries
from server.tenants.acting import Actor
from server.tenants.model import DELETED, Tenant
from server.tenants.problems import NOT_MIGRATED, UNKNOWN_TENANT, UNKNOWN_VERSION

_RULES = "duplicates"


class LoadEvents(Protocol):
    """Pushes events of the server's own into the schema of the scope; known ones have no effect.

    `rules_changed` tells that the settings by which pairs of duplicates are found are other ones than before.
    """

    def __call__(
        self, db: Connection, events: list[dict[str, Any]], *, account: str, at: datetime, rules_changed: bool
    ) -> Awaitable[object]: ...


async def lock_living(db: Connection, tenant_id: int) -> Tenant:
    """The tenant, its row locked: uploads and changes of state wait for each other. Raises tenants.unknown."""
    tenant = await queries.lock_tenant(db, tenant_id)
    if tenant is None or tenant.state == DELETED:
        raise UNKNOWN_TENANT()
    return tenant


async def stored_document(db: Connection, tenant: Tenant) -> dict[str, Any]:
    """The tenant's present config, secrets included."""
    document = await queries.find_document(db, tenant.id, tenant.config_number)
    if document is None:
        raise LookupError(f"tenant {tenant.id} has no config version {tenant.config_number}")
    return document


async def store_version(db: Connection, tenant_id: int, config: AppConfig, actor: Actor, load: LoadEvents) -> Tenant:
    """Makes the config the tenant's next version and brings into its schema what it says. The row is locked.

    Entity data is loaded once: a second upload adds only what is new in it.
    """
    before = await lock_living(db, tenant_id)
    if before.schema_version != tenant_migrations()[-1].id:
        raise NOT_MIGRATED(headers={"Retry-After": "30"})
    number = before.config_number + 1
    await queries.insert_version(db, tenant_id, number, config.document, actor.at, actor.account)
    await queries.set_current_version(
        db, tenant_id, number, name=config.name, description=config.description, version=config.version
    )
    events = await to_thread(seed_events, config, at=actor.at, user_id=actor.account)
    async with scoped(db, before.scope):
        changed = await queries.put_settings(db, settings_of(config))
        await load(db, events, account=actor.account, at=actor.at, rules_changed=_RULES in changed)
        count = await queries.count_entities(db)
    await queries.set_entities_count(db, tenant_id, count)
    return await lock_living(db, tenant_id)


async def roll_back(db: Connection, tenant_id: int, number: int, actor: Actor, load: LoadEvents) -> Tenant:
    """Makes an earlier version's document the next version. Raises tenants.unknown-version."""
    tenant = await lock_living(db, tenant_id)
    document = await queries.find_document(db, tenant.id, number)
    if document is None:
        raise UNKNOWN_VERSION()
    after = await store_version(db, tenant.id, under_id(document, tenant.config_id), actor, load)
    await actor.record(
        db, "tenant.config-rolled-back", tenant.config_id, tenant=tenant.id, to=number, number=after.config_number
    )
    return after


def under_id(document: Mapping[str, Any], config_id: str) -> AppConfig:
    """A stored document as the config of a tenant that may have another id by now."""
    return read_stored({**document, "id": config_id})


def settings_of(config: AppConfig) -> dict[str, Any]:
    """What the tenant's schema is told of the config, by the name of the setting.

    `duplicates` is {rules: [{form, fields}] or null for the default ones, blockSync}.
    """
    rules = config.duplicates.rules
    return {
        _RULES: {
            "rules": None if rules is None else [{"form": rule.form, "fields": rule.fields} for rule in rules],
            "blockSync": config.duplicates.block_sync,
        },
        "custom-event-types": config.custom_event_types,
    }
