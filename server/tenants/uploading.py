"""Taking an uploaded config: a new tenant, or the next version of one there is.

A config is read and compared in a thread: a large one takes seconds, in which others are to be served.
"""

from asyncio import to_thread
from dataclasses import dataclass
from typing import Any

from server.app_configs import versions
from server.app_configs.differences import differences
from server.app_configs.model import AppConfig, check_sizes, read_config
from server.app_configs.references import parents_elsewhere
from server.app_configs.shape import LONGEST_NAME
from server.audit import Author, record
from server.db import Connection
from server.roles.decision import FORBIDDEN
from server.tenants import queries
from server.tenants.access_rules import check_rules_of_access
from server.tenants.model import Tenant
from server.tenants.problems import ID_TAKEN, OTHER_ID
from server.tenants.provisioning import OnStep, provision
from server.tenants.versioning import (
    LoadEvents,
    end_logins_of_changed_providers,
    lock_living,
    opened_document,
    store_version,
    stored_document,
)
from server.vault import Keyring


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of an upload: the tenant as it is now, and whether it is new."""

    tenant: Tenant
    created: bool


async def apply_config(
    db: Connection,
    document: Any,
    author: Author,
    load: LoadEvents,
    keyring: Keyring,
    *,
    only_tenant: int | None = None,
    must_be_new: bool = False,
    sets_rules: bool = True,
    on_step: OnStep | None = None,
) -> Applied:
    """Makes a tenant of the config, or replaces the whole config of the one that has its id.

    Uploads of one id wait for each other. With `only_tenant`, the number of a tenant, any other one and a new one are
    refused; with `must_be_new`, an id in use is. Without `sets_rules`, what decides who may see what has to stay as it
    is (app-configs.rules-of-access). Raises app-configs.invalid, app-configs.mask-without-secret,
    app-configs.secret-lost, access.forbidden, tenants.id-taken, tenants.not-migrated.
    """
    check_sizes(document)
    config_id = _id_of(document)
    await queries.lock_config_id(db, config_id)
    tenant = await queries.find_live_tenant(db, config_id)
    if only_tenant is not None and (tenant is None or tenant.id != only_tenant):
        raise FORBIDDEN()
    if tenant is None:
        config = await to_thread(versions.replace, None, document)
        return Applied(await provision(db, config, author, load, keyring, on_step=on_step), True)
    if must_be_new:
        raise ID_TAKEN()
    known_rows = await _known_rows(db, tenant, document)
    stored = opened_document(await stored_document(db, tenant), tenant.id, keyring)
    config = await to_thread(versions.replace, stored, document, known_rows=known_rows)
    if not sets_rules:
        check_rules_of_access(stored, config.document)
    return Applied(await _store(db, tenant, stored, config, author, load, keyring), False)


async def patch_config(
    db: Connection,
    tenant_id: int,
    document: Any,
    author: Author,
    load: LoadEvents,
    keyring: Keyring,
    *,
    sets_rules: bool = True,
) -> Tenant:
    """Changes the keys that the upload holds. Raises tenants.unknown, tenants.other-id and as `apply_config` does."""
    check_sizes(document)
    tenant = await lock_living(db, tenant_id)
    if (given := _id_of(document)) != tenant.config_id:
        told = given[:LONGEST_NAME]
        raise OTHER_ID(f"The id in the file is {told!r}, the one in the address {tenant.config_id!r}.")
    stored = opened_document(await stored_document(db, tenant), tenant.id, keyring)
    known_rows = await _known_rows(db, tenant, {**stored, **document})
    config = await to_thread(versions.patch, stored, document, known_rows=known_rows)
    if not sets_rules:
        check_rules_of_access(stored, config.document)
    return await _store(db, tenant, stored, config, author, load, keyring)


async def _store(
    db: Connection,
    before: Tenant,
    stored: dict[str, Any],
    config: AppConfig,
    author: Author,
    load: LoadEvents,
    keyring: Keyring,
) -> Tenant:
    tenant = await store_version(db, before.id, config, author, load, keyring)
    await end_logins_of_changed_providers(db, tenant.id, stored, config.document)
    changed = await to_thread(differences, stored, config.document)
    await record(
        db,
        author,
        "tenant.config-uploaded",
        tenant.subject,
        tenant=tenant,
        before=changed.before,
        after=changed.after,
        details={"number": tenant.config_number, "placesLeftOut": changed.more},
    )
    return tenant


async def _known_rows(db: Connection, tenant: Tenant, document: Any) -> set[str]:
    """Which rows that the document has only as parents were in an earlier version of the config."""
    parents = await to_thread(parents_elsewhere, document)
    return await queries.list_rows_ever(db, tenant.id, list(parents)) if parents else set()


def _id_of(document: Any) -> str:
    config_id = document.get("id") if isinstance(document, dict) else None
    return config_id if isinstance(config_id, str) else read_config(document).id
