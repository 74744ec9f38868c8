"""Who holds an API key, and what he may do with it in the tenant of the request: one statement tells."""

from collections.abc import Mapping
from datetime import datetime

from server.auth.authentication import NOT_SIGNED_IN, Identity
from server.auth.service_accounts.keys import OF_A_KEY, is_secret_of, parts_of
from server.auth.service_accounts.queries import find_key, mark_used
from server.db import Connection, Database
from server.db.connection import Row
from server.kit.call import Caller
from server.roles.permissions import rights_of
from server.tenants.model import tenant_from


async def note_keys_seen(database: Database, noted: Mapping[str, datetime]) -> None:
    """Writes down when each of these keys was last used, by the part of it that may be shown."""
    async with database.shared() as db:
        await mark_used(db, list(noted), list(noted.values()))


async def identify_service(db: Connection, key: str, *, tenant: str | None, device_id: str = "") -> Identity:
    """The service account that holds the key. A key reaches the tenant of its account and knows no other.

    `tenant` None is the account's own tenant. Raises `auth.required`.
    """
    prefix, secret = parts_of(key)
    row = await find_key(db, prefix, tenant)
    if row is None or not is_secret_of(row["digest"], secret):
        raise NOT_SIGNED_IN()
    return Identity(caller_from_key(row, device_id), None if row["id"] is None else tenant_from(row))


def caller_from_key(row: Row, device_id: str = "") -> Caller:
    """The caller that a row of `find_key` or `list_key_standings` describes."""
    is_at_home = row["id"] == row["home"]
    account = f"service:{row['service_account_id']}"
    return Caller(
        account=account,
        account_id=0,
        email="",
        is_operator=False,
        session_id="",
        api_key=row["prefix"],
        bound_to=row["home"],
        role=row["role"] if is_at_home else None,
        rights=rights_of(row["role"], row["own_permissions"]) if is_at_home else frozenset(),
        limited_to=OF_A_KEY.intersection(row["scopes"]),
        is_in_person=False,
        device=device_id or account,
    )
