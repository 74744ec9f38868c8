"""The versions of a tenant's config: every upload is kept, the last one holds."""

from asyncio import to_thread
from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Any, Protocol

from server.app_configs.differences import differences
from server.app_configs.model import AppConfig, read_stored
from server.app_configs.sealing import open_document, place_of_config, seal_document
from server.app_configs.seeds import seed_events, without_persons
from server.audit import Author, record
from server.db import Connection, scoped
from server.db.migrations import tenant_migrations
from server.tenants import queries
from server.tenants.access_rules import check_rules_of_access
from server.tenants.model import DELETED, Tenant
from server.tenants.problems import NOT_MIGRATED, UNKNOWN_TENANT, UNKNOWN_VERSION
from server.vault import Keyring

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
    """The tenant's present config as it is stored: its secrets are sealed."""
    document = await queries.find_document(db, tenant.id, tenant.config_number)
    if document is None:
        raise LookupError(f"tenant {tenant.id} has no config version {tenant.config_number}")
    return document


def opened_document(stored: Mapping[str, Any], tenant_id: int, keyring: Keyring) -> dict[str, Any]:
    """A stored document of the tenant with its secrets; those whose key is gone stay sealed, and can be stored so."""
    return open_document(stored, keyring, place_of_config(tenant_id))


async def store_version(
    db: Connection, tenant_id: int, config: AppConfig, author: Author, load: LoadEvents, keyring: Keyring
) -> Tenant:
    """Makes the config the tenant's next version and brings into its schema what it says. The row is locked.

    Its secrets are sealed as they are stored. Entity data is loaded once: a second upload adds only what is new in it.
    """
    before = await lock_living(db, tenant_id)
    if before.schema_version != tenant_migrations()[-1].id:
        raise NOT_MIGRATED(headers={"Retry-After": "30"})
    number = before.config_number + 1
    config = await _without_erased(db, before, config)
    sealed = await to_thread(seal_document, config.document, keyring, place_of_config(tenant_id))
    await queries.insert_version(db, tenant_id, number, sealed, author.at, author.account)
    await queries.set_current_version(
        db, tenant_id, number, name=config.name, description=config.description, version=config.version
    )
    await _restrict_forms(db, before, config)
    await queries.set_retention_due(db, tenant_id, author.at if config.retention else None)
    events = await to_thread(seed_events, config, at=author.at, user_id=author.account)
    async with scoped(db, before.scope):
        changed = await queries.put_settings(db, settings_of(config))
        await load(db, events, account=author.account, at=author.at, rules_changed=_RULES in changed)
        count = await queries.count_entities(db)
    await queries.set_entities_count(db, tenant_id, count)
    return await lock_living(db, tenant_id)


async def end_logins_of_changed_providers(
    db: Connection, tenant_id: int, before: Mapping[str, Any], after: Mapping[str, Any]
) -> None:
    """Ends what the tenant's providers opened here where the two configs name other ones, or something else of them.

    What a provider said was believed for as long as the session lasts: one that was dropped opens nothing any more.
    """
    if before.get("authConfigs") != after.get("authConfigs"):
        await queries.delete_sessions_of_providers(db, tenant_id)


async def _without_erased(db: Connection, tenant: Tenant, config: AppConfig) -> AppConfig:
    """The config without what its seed data says of persons who were erased."""
    async with scoped(db, tenant.scope):
        persons = await queries.list_erased_persons(db)
    if not persons:
        return config
    left = await to_thread(without_persons, config.document, persons)
    return config if left is config.document else read_stored(left)


async def _restrict_forms(db: Connection, tenant: Tenant, config: AppConfig) -> None:
    """Notes who may see which form. Only a tenant that hides some pays for what hides them in its tables."""
    form_roles = {form.name: list(form.roles) for form in config.forms if form.roles}
    await queries.set_form_roles(db, tenant.id, form_roles)
    if bool(form_roles) != bool(tenant.form_roles):
        async with scoped(db, tenant.scope):
            await queries.hide_forms(db, is_on=bool(form_roles))


async def roll_back(
    db: Connection,
    tenant_id: int,
    number: int,
    author: Author,
    load: LoadEvents,
    keyring: Keyring,
    *,
    sets_rules: bool = True,
) -> Tenant:
    """Makes an earlier version's document the next version. Raises tenants.unknown-version.

    Without `sets_rules`, what decides who may see what has to be as it is now (app-configs.rules-of-access).
    """
    tenant = await lock_living(db, tenant_id)
    document = await queries.find_document(db, tenant.id, number)
    if document is None:
        raise UNKNOWN_VERSION()
    config = under_id(opened_document(document, tenant.id, keyring), tenant.config_id)
    present = opened_document(await stored_document(db, tenant), tenant.id, keyring)
    if not sets_rules:
        check_rules_of_access(present, config.document)
    after = await store_version(db, tenant.id, config, author, load, keyring)
    await end_logins_of_changed_providers(db, tenant.id, present, config.document)
    changed = await to_thread(differences, present, config.document)
    await record(
        db,
        author,
        "tenant.config-rolled-back",
        tenant.subject,
        tenant=after,
        before=changed.before,
        after=changed.after,
        details={"to": number, "number": after.config_number, "placesLeftOut": changed.more},
    )
    return after


def under_id(document: Mapping[str, Any], config_id: str) -> AppConfig:
    """A stored document as the config of a tenant that may have another id by now."""
    return read_stored({**document, "id": config_id})


def settings_of(config: AppConfig) -> dict[str, Any]:
    """What the tenant's schema is told of the config, by the name of the setting.

    `duplicates` is {rules: [{form, fields}] or null for the default ones, blockSync}; `retention` {forms: {form: days},
    quarantineDays, deviceAuditDays}, null for what is never deleted.
    """
    rules = config.duplicates.rules
    return {
        _RULES: {
            "rules": None if rules is None else [{"form": rule.form, "fields": rule.fields} for rule in rules],
            "blockSync": config.duplicates.block_sync,
        },
        "custom-event-types": config.custom_event_types,
        "retention": {
            "forms": dict(config.retention.forms),
            "quarantineDays": config.retention.quarantine_days,
            "deviceAuditDays": config.retention.device_audit_days,
        },
    }
