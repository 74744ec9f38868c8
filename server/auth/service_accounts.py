"""Service accounts: programs that work in one tenant, with API keys."""

import hashlib
import hmac

from server.auth.authentication import NOT_SIGNED_IN, Identity
from server.auth.queries import find_api_key
from server.db import Connection
from server.kit.call import Caller
from server.roles.permissions import rights_of
from server.tenants.model import tenant_from

KEY_PREFIX = "croft_"
"""Begins every API key: `croft_<what may be shown>_<secret>`."""


async def identify_service(db: Connection, key: str, *, tenant: str | None, device_id: str = "") -> Identity:
    """The service account that holds the key. A key reaches the tenant of its account and knows no other.

    `tenant` None is the account's own tenant. Raises `auth.required`.
    """
    prefix, _, secret = key.removeprefix(KEY_PREFIX).partition("_")
    row = await find_api_key(db, prefix, tenant)
    if row is None or not hmac.compare_digest(row["digest"], hashlib.sha256(secret.encode()).digest()):
        raise NOT_SIGNED_IN()
    is_at_home = row["id"] == row["home"]
    account = f"service:{row['service_account_id']}"
    caller = Caller(
        account=account,
        account_id=0,
        email="",
        is_operator=False,
        session_id="",
        role=row["role"] if is_at_home else None,
        rights=rights_of(row["role"], row["own_permissions"]) if is_at_home else frozenset(),
        limited_to=frozenset(row["scopes"]),
        is_in_person=False,
        device=device_id or account,
    )
    return Identity(caller, None if row["id"] is None else tenant_from(row))
