"""The tenant into which another server's is taken over: made, or found again with what was taken before."""

from asyncio import to_thread
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from server.app_configs import versions
from server.audit import record
from server.db import Connection, scoped
from server.kit.clock import utc_now
from server.kit.problem import Problem
from server.kit.strict_json import canonical_json
from server.moving_in import queries
from server.moving_in.datacollect import queries as other
from server.moving_in.datacollect.accounts import MARK, Taken
from server.moving_in.datacollect.mapping import ConfigRow
from server.moving_in.datacollect.one_tenant import NO_LIMIT, OneTenant
from server.moving_in.datacollect.reasons import (
    ARCHIVED,
    ARTIFACT_CHANGED,
    ARTIFACT_ODD,
    ARTIFACT_TAKEN,
    BAD_CONFIG,
    CONFIG_ON_BOTH,
    CUSTOM_SINCE,
    CUSTOM_TYPES,
    TENANT_EXISTS,
)
from server.moving_in.datacollect.report import Heading
from server.sync.event import BUILT_IN
from server.sync.queries import find_setting
from server.tenants.model import SUSPENDED, Tenant
from server.tenants.queries import find_live_tenant, find_tenant, put_settings, set_state
from server.tenants.uploading import apply_config
from server.tenants.versioning import stored_document


class Refused(Exception):
    """This tenant cannot be taken over."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


async def prepare(one: OneTenant, document: dict[str, Any], plain: dict[str, Any], types: Sequence[str]) -> Taken:
    """The tenant, made if it was not there. Raises Refused."""
    digest = sha256(canonical_json(plain)).hexdigest()
    own = [each for each in types if each not in BUILT_IN]
    async with one.database.shared(readonly=one.wishes.dry_run, patience=NO_LIMIT) as db:
        number = await queries.find_config_number(db, one.config.id)
        if number is None:
            taken = await _make(one, db, document, digest)
            _tell_of_types(one, own, CUSTOM_TYPES, Heading.CHANGED)
        else:
            taken = await _go_on(one, db, document, digest)
            named = (await stored_document(db, taken.tenant)).get("customEventTypes") or []
            _tell_of_types(one, [each for each in own if each not in named], CUSTOM_SINCE, Heading.NOTED)
    if one.config.is_archived:
        one.note(Heading.CHANGED, ARCHIVED, "app_configs", one.config.id)
    return taken


def _tell_of_types(one: OneTenant, types: Sequence[str], reason: str, heading: Heading) -> None:
    for each in types:
        one.note(heading, reason, "events", detail=each)


async def _make(one: OneTenant, db: Connection, document: dict[str, Any], digest: str) -> Taken:
    mark = {
        "from": "datacollect",
        "config": digest,
        "artifact": one.config.artifact_id,
        "number": 1,
        "finished": False,
        "accounts": [],
    }
    artifact = await _artifact_id(one, db)
    if one.wishes.dry_run:
        await _check(document)
        return Taken(one.config.id, _imagined(one.config), mark)
    tenant = await _provision(one, db, document)
    if artifact:
        await queries.set_artifact_id(db, tenant.id, artifact)
    await set_state(db, tenant.id, SUSPENDED, None)
    async with scoped(db, tenant.scope):
        await put_settings(db, {MARK: mark})
        if await find_setting(db, "not-before") is not None:
            # The log is older than this tenant, whatever tenants had its id here before.
            await put_settings(db, {"not-before": 0})
    reread_tenant = await reread(db, tenant)
    await record(db, one.author, "tenant.take-over-begun", tenant.subject, tenant=tenant)
    return Taken(one.config.id, reread_tenant, mark)


async def _check(document: dict[str, Any]) -> None:
    try:
        await to_thread(versions.replace, None, document)
    except Problem as problem:
        raise _bad_config(problem) from None


async def _provision(one: OneTenant, db: Connection, document: dict[str, Any]) -> Tenant:
    try:
        applied = await apply_config(db, document, one.author, _load_nothing, one.wishes.keyring, must_be_new=True)
    except Problem as problem:
        raise _bad_config(problem) from None
    return applied.tenant


async def _artifact_id(one: OneTenant, db: Connection) -> str | None:
    """The artifact id to keep; None where a new one is made."""
    wanted = one.config.artifact_id
    if not one.config.has_usable_artifact:
        one.note(Heading.CHANGED, ARTIFACT_ODD, "app_configs", one.config.id, "artifact_id", wanted)
        return None
    holder = await queries.find_artifact_holder(db, wanted)
    if holder is None:
        return wanted
    if (holder["state"], holder["config_id"]) != ("deleted", one.config.id):
        one.note(Heading.CHANGED, ARTIFACT_TAKEN, "app_configs", one.config.id, "artifact_id", wanted)
        return None
    if not one.wishes.dry_run:
        await queries.set_artifact_id(db, holder["id"], f"{wanted[:40]}-{holder['id']}")
    return wanted


async def _go_on(one: OneTenant, db: Connection, document: dict[str, Any], digest: str) -> Taken:
    tenant = await _living(one, db)
    async with scoped(db, tenant.scope):
        mark = orjson.loads(await find_setting(db, MARK) or b"null")
    if not isinstance(mark, dict) or not await _is_of_this_source(one, mark):
        raise Refused(TENANT_EXISTS, f"tenant number {tenant.id}")
    if mark["artifact"] != one.config.artifact_id:
        one.note(Heading.CHANGED, ARTIFACT_CHANGED, "app_configs", one.config.id, "artifact_id")
    if mark["config"] != digest:
        tenant = await _next_config(one, db, tenant, document, mark, digest)
    return Taken(one.config.id, tenant, mark)


async def _living(one: OneTenant, db: Connection) -> Tenant:
    if one.wishes.dry_run:
        row = await find_tenant(db, one.config.id)
    else:
        row = await find_live_tenant(db, one.config.id)
    if row is None:
        raise Refused(TENANT_EXISTS, "it was deleted just now")
    return row


async def _is_of_this_source(one: OneTenant, mark: Mapping[str, Any]) -> bool:
    if mark.get("from") != "datacollect":
        return False
    same = bool(mark["artifact"]) and mark["artifact"] == one.config.artifact_id
    first = mark.get("event")
    return same or (first is not None and await one.source.ask(other.has_event, one.config.id, first))


async def _next_config(
    one: OneTenant, db: Connection, tenant: Tenant, document: dict[str, Any], mark: dict[str, Any], digest: str
) -> Tenant:
    if tenant.config_number != mark["number"]:
        one.note(Heading.CHANGED, CONFIG_ON_BOTH, "app_configs", one.config.id)
        return tenant
    if one.wishes.dry_run:
        await _check(document)
        return tenant
    try:
        applied = await apply_config(db, document, one.author, _load_nothing, one.wishes.keyring, only_tenant=tenant.id)
        tenant = applied.tenant
    except Problem as problem:
        raise _bad_config(problem) from None
    mark |= {"config": digest, "number": tenant.config_number}
    async with scoped(db, tenant.scope):
        await put_settings(db, {MARK: mark})
    return tenant


async def _load_nothing(
    db: Connection, events: list[dict[str, Any]], *, account: str, at: Any, rules_changed: bool
) -> None:
    """In place of loading seeds: their records come with the log."""


def _imagined(config: ConfigRow) -> Tenant:
    """What stands in a dry run for a tenant that is not there."""
    return Tenant(0, config.id, config.artifact_id, "", "", "", "", "", "", "", 0, 0, utc_now(), None)


def _bad_config(problem: Problem) -> Refused:
    places = "; ".join(f"{error.path}: {error.message}" for error in problem.errors[:5])
    return Refused(BAD_CONFIG, places or problem.detail)


async def reread(db: Connection, tenant: Tenant) -> Tenant:
    """The tenant as it is now."""
    found = await find_live_tenant(db, tenant.config_id)
    assert found is not None
    return found
