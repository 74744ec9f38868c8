"""Apps: what tenants' administrators and the admin web app do with app configs."""

from asyncio import to_thread
from dataclasses import replace
from typing import Any

from server.app_configs.secrets import mask
from server.audit import author_of
from server.db import Database
from server.kit.call import Call, Upload
from server.kit.sight import EVERYTHING
from server.roles.decision import is_allowed, sight_of_role
from server.roles.permissions import Permission
from server.tenants import queries
from server.tenants.counting import EntityCounts
from server.tenants.lifecycle import delete
from server.tenants.listing import page_of_tenants, prepare_order
from server.tenants.model import ACTIVE, SUSPENDED, Tenant
from server.tenants.problems import NO_FILE
from server.tenants.uploading import apply_config, patch_config
from server.tenants.versioning import LoadEvents, roll_back, stored_document
from server.tenants.wire import AppList, AppSummary, ConfigVersion, Done, UploadAnswer
from server.vault import Keyring


async def upload_app(call: Call, *, load: LoadEvents, keyring: Keyring) -> UploadAnswer:
    """A new tenant, which only operators may make, or the next version of the caller's own."""
    document = _document(call.body)
    only_tenant = None if call.caller.is_operator else call.tenant.id
    applied = await apply_config(
        call.db, document, author_of(call), load, keyring, only_tenant=only_tenant, sets_rules=_sets_rules(call)
    )
    return _applied(applied.tenant)


async def patch_app(call: Call, *, load: LoadEvents, keyring: Keyring) -> UploadAnswer:
    """The next version of a config: the keys of the file are taken, absent ones kept, null removes one."""
    document = _document(call.body)
    return _applied(
        await patch_config(
            call.db, call.tenant.id, document, author_of(call), load, keyring, sets_rules=_sets_rules(call)
        )
    )


async def delete_app(call: Call) -> Done:
    """Deletes the tenant with this config id, if there is one."""
    config_id = call.path["id"]
    tenant = None if "\0" in config_id else await queries.find_live_tenant(call.db, config_id)
    if tenant is not None:
        await delete(call.db, tenant.id, author_of(call))
    return Done()


async def list_apps(call: Call, *, database: Database, counts: EntityCounts) -> AppList:
    """A page of the apps: all of them for operators, for others those of their own tenants in use.

    A service account is in one tenant. An operator whose credential carries no operator's power, as that of his phone,
    sees what a member of his tenants sees.
    """
    caller = call.caller
    operator = is_allowed(caller, Permission.TENANTS_MANAGE)
    states = (ACTIVE, SUSPENDED) if operator else (ACTIVE,)
    member = None if operator or caller.api_key else caller.account_id
    await prepare_order(counts, call.query.sortBy)
    async with database.shared(readonly=True) as db:
        page = await page_of_tenants(db, counts, call.query, call.query.sortBy, states, member, caller.bound_to)
        external = await queries.list_external_syncs(db, [tenant.id for tenant in page.tenants])
        roles = {} if operator or caller.bound_to else await queries.list_roles_of_member(db, caller.account_id)
    shown = page.tenants if operator else [await _as_seen(database, each, roles.get(each.id)) for each in page.tenants]
    return AppList(data=[_summary(each, external.get(each.id) or {}) for each in shown], meta=page.meta)


async def _as_seen(database: Database, tenant: Tenant, role: str | None) -> Tenant:
    """The tenant with no more entities than the role sees; None is one that nobody can tell, and sees the least."""
    sight = sight_of_role(role, tenant.form_roles)
    if sight == EVERYTHING:
        return tenant
    async with database.inside(tenant.scope, readonly=True, sight=sight) as db:
        return replace(tenant, entities_count=await queries.count_entities(db))


async def get_app(call: Call) -> dict[str, Any]:
    """The whole config of the tenant, secrets masked, without seed data of forms that are hidden from the caller."""
    document = await stored_document(call.db, call.tenant)
    shown = await to_thread(mask, document)
    if call.sight.hidden:
        sections = shown.get("entityData") or []
        shown["entityData"] = [each for each in sections if each["name"] not in call.sight.hidden]
    return {**shown, "artifactId": call.tenant.artifact_id}


async def list_versions(call: Call) -> list[ConfigVersion]:
    """Every upload of the tenant's config, the newest first."""
    return [
        ConfigVersion(
            number=row["number"],
            name=row["name"],
            version=row["version"] or "",
            uploadedAt=row["uploaded_at"],
            uploadedBy=row["uploaded_by"],
            current=row["number"] == call.tenant.config_number,
        )
        for row in await queries.list_versions(call.db, call.tenant.id)
    ]


async def roll_back_app(call: Call, *, load: LoadEvents, keyring: Keyring) -> UploadAnswer:
    """The next version of the config has the document of an earlier one."""
    return _applied(
        await roll_back(
            call.db, call.tenant.id, call.body.number, author_of(call), load, keyring, sets_rules=_sets_rules(call)
        )
    )


def _sets_rules(call: Call) -> bool:
    """Whether the caller may also change what decides who may see what."""
    return is_allowed(call.caller, Permission.SECURITY_MANAGE)


def _document(upload: Upload) -> Any:
    if not upload.came:
        raise NO_FILE()
    return upload.document


def _applied(tenant: Tenant) -> UploadAnswer:
    return UploadAnswer(artifactId=tenant.artifact_id, number=tenant.config_number)


def _summary(tenant: Tenant, external_sync: dict[str, Any]) -> AppSummary:
    return AppSummary(
        id=tenant.config_id,
        artifactId=tenant.artifact_id,
        name=tenant.name,
        version=tenant.version,
        description=tenant.description,
        externalSync=mask({"externalSync": external_sync})["externalSync"],
        entitiesCount=tenant.entities_count,
        state=tenant.state,
    )
