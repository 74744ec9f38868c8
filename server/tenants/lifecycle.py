"""What can happen to a tenant after it was made: suspended, resumed, deleted, restored, purged."""

from datetime import timedelta

from server.audit import Author, record, record_for_operators
from server.db import Connection, Scope, scoped
from server.tenants import queries
from server.tenants.model import ACTIVE, DELETED, SUSPENDED, Tenant
from server.tenants.owning import owner_role
from server.tenants.predecessors import note_former_id, tell_of_predecessors
from server.tenants.problems import ID_TAKEN, STILL_KEPT, UNKNOWN_TENANT, WRONG_STATE
from server.tenants.versioning import LoadEvents, opened_document, store_version, stored_document, under_id
from server.vault import Keyring


async def get_tenant(db: Connection, name: str) -> Tenant:
    """The tenant with this config id or number, deleted ones only where no other has it. Raises tenants.unknown."""
    tenant = None if "\0" in name else await queries.find_tenant(db, name)
    if tenant is None:
        raise UNKNOWN_TENANT()
    return tenant


async def get_deleted_tenant(db: Connection, name: str) -> Tenant:
    """The deleted tenant with this number, or the latest that had this config id.

    Raises tenants.unknown, or tenants.wrong-state where it is not deleted.
    """
    tenant = None if "\0" in name else await queries.find_deleted_tenant(db, name)
    if tenant is None:
        living = await get_tenant(db, name)
        raise WRONG_STATE(f"The tenant {living.config_id} is not deleted.")
    return tenant


async def suspend(db: Connection, name: str, author: Author) -> Tenant:
    """Keeps everybody but operators out, until resumed."""
    return await _change(db, name, SUSPENDED, "tenant.suspended", author)


async def resume(db: Connection, name: str, author: Author) -> Tenant:
    """Ends a suspension."""
    return await _change(db, name, ACTIVE, "tenant.resumed", author)


async def _change(db: Connection, name: str, state: str, action: str, author: Author) -> Tenant:
    tenant = await _locked(db, (await get_tenant(db, name)).id)
    if tenant.state == DELETED:
        raise WRONG_STATE(f"The tenant {tenant.config_id} is deleted.")
    if tenant.state == state:
        return tenant
    await queries.set_state(db, tenant.id, state, None)
    states = {"before": {"state": tenant.state}, "after": {"state": state}}
    await record(db, author, action, tenant.subject, tenant=tenant, **states)
    return await _locked(db, tenant.id)


async def delete(db: Connection, tenant_id: int, author: Author) -> Tenant:
    """Hides the tenant and frees its config id; its schema is kept until it is purged.

    Memberships end at once, and the sessions of who is left without any. Deleting again changes nothing.
    """
    tenant = await _locked(db, tenant_id)
    if tenant.state == DELETED:
        return tenant
    await queries.set_state(db, tenant.id, DELETED, author.at)
    sessions = await queries.end_sessions_of_members(db, tenant.id)
    memberships = await queries.delete_memberships(db, tenant.id)
    await note_former_id(db, tenant)
    await record(
        db,
        author,
        "tenant.deleted",
        tenant.subject,
        tenant=tenant,
        before={"state": tenant.state},
        after={"state": DELETED},
        details={"memberships": memberships, "sessions": sessions},
    )
    return await _locked(db, tenant.id)


async def restore(
    db: Connection, name: str, new_id: str | None, author: Author, load: LoadEvents, keyring: Keyring
) -> Tenant:
    """Brings a deleted tenant back, under its own id or a new one. Memberships are not brought back.

    Raises tenants.unknown, tenants.wrong-state, tenants.id-taken, and app-configs.invalid for a bad new id.
    """
    tenant_id = (await get_deleted_tenant(db, name)).id
    tenant = await _locked(db, tenant_id)
    config_id = new_id or tenant.config_id
    await queries.lock_config_id(db, config_id)
    if tenant.state != DELETED:
        raise WRONG_STATE(f"The tenant {tenant.config_id} is not deleted.")
    if await queries.find_live_tenant(db, config_id) is not None:
        raise ID_TAKEN(f"The id {config_id} is in use. Restore the tenant under another one: newId.")
    config = under_id(opened_document(await stored_document(db, tenant), tenant.id, keyring), config_id)
    await queries.set_config_id(db, tenant.id, config_id)
    await queries.set_state(db, tenant.id, ACTIVE, None)
    if config_id != tenant.config_id:
        await store_version(db, tenant.id, config, author, load, keyring)
    restored = await _locked(db, tenant.id)
    await tell_of_predecessors(db, restored)
    await record(
        db,
        author,
        "tenant.restored",
        restored.subject,
        tenant=restored,
        before={"state": tenant.state, "id": tenant.config_id},
        after={"state": restored.state, "id": config_id},
    )
    return restored


async def purge(db: Connection, tenant_id: int, retention: timedelta, author: Author) -> None:
    """Destroys a deleted tenant: its schema, its role, its row. Nothing brings it back.

    Raises tenants.unknown, tenants.wrong-state, and tenants.still-kept before its retention time is over.
    """
    tenant = await _locked(db, tenant_id)
    if tenant.state != DELETED or tenant.deleted_at is None:
        raise WRONG_STATE(f"The tenant {tenant.config_id} is not deleted.")
    until = tenant.deleted_at + retention
    if author.at < until:
        raise STILL_KEPT(f"The data of {tenant.config_id} is kept until {until:%Y-%m-%d %H:%M} UTC.")
    await queries.lock_schema(db, tenant.id)
    owner = await owner_role(db)
    async with scoped(db, tenant.scope):
        await queries.drop_what_role_owns(db)
    async with scoped(db, Scope(tenant.schema, owner)):
        await queries.drop_schema(db, tenant.schema)
    await queries.delete_tenant_row(db, tenant.id)
    await queries.drop_role(db, tenant.role)
    before = {"state": tenant.state, "name": tenant.name, "deletedAt": tenant.deleted_at}
    await record_for_operators(db, author, "tenant.purged", tenant.subject, tenant_id=tenant.id, before=before)


async def _locked(db: Connection, tenant_id: int) -> Tenant:
    tenant = await queries.lock_tenant(db, tenant_id)
    if tenant is None:
        raise UNKNOWN_TENANT()
    return tenant
