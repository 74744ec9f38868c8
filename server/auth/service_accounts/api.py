"""The endpoints of a tenant's service accounts and their keys."""

from typing import Any

from server.audit import author_of, record
from server.auth.issuing import LARGEST_ID, check_is_to_come
from server.auth.model import Message
from server.auth.service_accounts import queries
from server.auth.service_accounts.keys import make_key
from server.auth.service_accounts.model import (
    MOST_ACCOUNTS,
    MOST_KEYS,
    ApiKeyList,
    ApiKeyMade,
    ServiceAccountAnswer,
    ServiceAccountList,
    account_answer,
    key_answer,
)
from server.db.connection import Row
from server.kit.call import Answer, Call
from server.kit.numbers import whole_number
from server.kit.problem import FieldError, ProblemKind
from server.roles.giving import check_role_can_be_given, check_within_own_rights, find_rights
from server.roles.model import in_order
from server.tenants.wire import ListMeta, PageQuery

UNKNOWN_ACCOUNT = ProblemKind("service-accounts.unknown", 404, "There is no such service account.")
NAME_TAKEN = ProblemKind("service-accounts.name-taken", 409, "Another service account has this name.")
TOO_MANY_ACCOUNTS = ProblemKind(
    "service-accounts.too-many", 409, f"An organization has {MOST_ACCOUNTS} service accounts at the most."
)
UNKNOWN_KEY = ProblemKind("api-keys.unknown", 404, "There is no such key that holds.")
TOO_MANY_KEYS = ProblemKind(
    "api-keys.too-many", 409, f"A service account has {MOST_KEYS} keys at the most: revoke one first."
)
BEYOND_ROLE = ProblemKind("api-keys.beyond-role", 422, "The service account's role does not hold these permissions.")


async def list_service_accounts(call: Call) -> ServiceAccountList:
    """A page of the tenant's service accounts."""
    meta = _meta(call.query, await queries.count_accounts(call.db, call.tenant.id, call.query.search))
    rows = await queries.list_accounts(
        call.db, call.tenant.id, meta.search, order=_order(meta), limit=meta.pageSize, offset=_offset(meta)
    )
    return ServiceAccountList(data=[account_answer(row) for row in rows], meta=meta)


async def show_service_account(call: Call) -> ServiceAccountAnswer:
    """One service account."""
    return await _answered(call, _number(call, "account", UNKNOWN_ACCOUNT))


async def create_service_account(call: Call) -> Answer:
    """A new service account, with no key yet. Its role holds nothing that the caller may not do himself.

    Raises `roles.cannot-be-given`, `roles.beyond-own-rights`, `service-accounts.name-taken` and
    `service-accounts.too-many`.
    """
    new = call.body
    await check_role_can_be_given(call.db, call.tenant, new.role, call.caller)
    if await queries.count_accounts(call.db, call.tenant.id) >= MOST_ACCOUNTS:
        raise TOO_MANY_ACCOUNTS()
    number = await queries.insert_account(
        call.db, call.tenant.id, new.name, new.description, new.role, call.at, call.caller.account
    )
    if number is None:
        raise _name_taken()
    await _record(call, "service-account.created", f"service-account:{number}", after=_told(new))
    return Answer(await _answered(call, number), status=201)


async def change_service_account(call: Call) -> ServiceAccountAnswer:
    """Changes name, description or role. Who changes the role may do himself what the old and the new one hold."""
    before = await _locked(call)
    number, change = before["id"], call.body
    name, role = change.name or before["name"], change.role or before["role"]
    description = before["description"] if change.description is None else change.description
    if role != before["role"]:
        await _check_within_own_rights(call, before["role"])
        await check_role_can_be_given(call.db, call.tenant, role, call.caller)
    if await queries.has_another_named(call.db, call.tenant.id, name, number):
        raise _name_taken()
    await queries.update_account(call.db, number, name, description, role)
    after = {"name": name, "description": description, "role": role}
    await _record(call, "service-account.changed", f"service-account:{number}", before=_told(before), after=after)
    return await _answered(call, number)


async def delete_service_account(call: Call) -> Message:
    """Removes a service account, which ends its keys. Its role holds nothing that the caller may not do himself."""
    before = await _locked(call)
    await _check_within_own_rights(call, before["role"])
    await queries.delete_account(call.db, before["id"])
    await _record(call, "service-account.deleted", f"service-account:{before['id']}", before=_told(before))
    return Message(message="The service account is deleted")


async def list_keys(call: Call) -> ApiKeyList:
    """A page of a service account's keys, those that are over or revoked included; the newest first."""
    account = (await _answered(call, _number(call, "account", UNKNOWN_ACCOUNT))).id
    meta = _meta(call.query, await queries.count_keys(call.db, account, call.query.search))
    rows = await queries.list_keys(
        call.db, account, meta.search, order=_order(meta), limit=meta.pageSize, offset=_offset(meta)
    )
    return ApiKeyList(data=[key_answer(row) for row in rows], meta=meta)


async def create_key(call: Call) -> Answer:
    """A new key, shown in this answer and never again. It can do nothing that the role or the caller himself cannot.

    Raises `api-keys.beyond-role`, `roles.beyond-own-rights` and `api-keys.too-many`.
    """
    new = call.body
    check_is_to_come(new.expiresAt, call.at)
    account = await _locked(call)
    held = await find_rights(call.db, call.tenant.id, account["role"]) or frozenset()
    if more := in_order(frozenset(new.scopes) - held):
        message = f"The role {account['role']} does not hold: {', '.join(more)}."
        raise BEYOND_ROLE(message, errors=[FieldError("scopes", message)])
    check_within_own_rights(call.caller, call.tenant, account["role"], new.scopes, field="scopes")
    if await queries.count_holding_keys(call.db, account["id"]) >= MOST_KEYS:
        raise TOO_MANY_KEYS()
    return Answer(await _made(call, account["id"]), status=201)


async def revoke_key(call: Call) -> Message:
    """Ends a key. Whoever manages service accounts may, whatever the key can do: it may be in wrong hands."""
    account, number = _number(call, "account", UNKNOWN_ACCOUNT), _number(call, "key", UNKNOWN_KEY)
    row = await queries.revoke_key(call.db, call.tenant.id, account, number, call.at)
    if row is None:
        raise UNKNOWN_KEY()
    before = {"name": row["name"], "prefix": row["prefix"], "serviceAccount": account}
    await _record(call, "api-key.revoked", f"api-key:{number}", before=before)
    return Message(message="The key is revoked")


async def _made(call: Call, account: int) -> ApiKeyMade:
    new, made = call.body, make_key()
    scopes = [permission.value for permission in in_order(new.scopes)]
    number = await queries.insert_key(
        call.db, account, new.name, made.prefix, made.digest, scopes, call.at, call.caller.account, new.expiresAt
    )
    expires = new.expiresAt.isoformat() if new.expiresAt else None
    after = {"name": new.name, "prefix": made.prefix, "scopes": scopes, "expiresAt": expires, "serviceAccount": account}
    await _record(call, "api-key.created", f"api-key:{number}", after=after)
    return ApiKeyMade(
        id=number,
        name=new.name,
        prefix=made.prefix,
        scopes=scopes,
        createdAt=call.at,
        createdBy=call.caller.account,
        expiresAt=new.expiresAt,
        lastUsedAt=None,
        revokedAt=None,
        key=made.key,
    )


async def _check_within_own_rights(call: Call, role: str) -> None:
    """Raises `roles.beyond-own-rights` where the role can do more than the caller. One that is gone can do nothing."""
    rights = await find_rights(call.db, call.tenant.id, role) or frozenset()
    check_within_own_rights(call.caller, call.tenant, role, rights)


async def _answered(call: Call, number: int) -> ServiceAccountAnswer:
    row = await queries.find_account(call.db, call.tenant.id, number)
    if row is None:
        raise UNKNOWN_ACCOUNT()
    return account_answer(row)


async def _locked(call: Call) -> Row:
    row = await queries.lock_account(call.db, call.tenant.id, _number(call, "account", UNKNOWN_ACCOUNT))
    if row is None:
        raise UNKNOWN_ACCOUNT()
    return row


async def _record(call: Call, action: str, subject: str, **states: Any) -> None:
    await record(call.db, author_of(call), action, subject, tenant=call.tenant, **states)


def _told(account: Any) -> dict[str, str]:
    """What the record says of an account, be it a row or a body."""
    if isinstance(account, Row):
        return {name: account[name] for name in ("name", "description", "role")}
    return {"name": account.name, "description": account.description, "role": account.role}


def _name_taken() -> Exception:
    return NAME_TAKEN(errors=[FieldError("name", "Another service account has this name.")])


def _number(call: Call, name: str, unknown: ProblemKind) -> int:
    number = whole_number(call.path[name], LARGEST_ID)
    if number is None:
        raise unknown()
    return number


def _meta(query: PageQuery, total: int) -> ListMeta:
    """Where in the list the page is: the wanted one, or the last where there are fewer."""
    pages = max(1, -(-total // query.pageSize))
    return ListMeta(
        total=total,
        page=min(query.page, pages),
        pageSize=query.pageSize,
        totalPages=pages,
        sortBy=getattr(query, "sortBy", ""),
        sortOrder=query.sortOrder,
        search=query.search,
    )


def _order(meta: ListMeta) -> str:
    return f"-{meta.sortBy}" if meta.sortOrder == "desc" else meta.sortBy


def _offset(meta: ListMeta) -> int:
    return (meta.page - 1) * meta.pageSize
