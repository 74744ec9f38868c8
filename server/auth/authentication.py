"""Who a request comes from, and in which tenant: decided from its headers and one statement."""

from dataclasses import dataclass, replace
from uuid import UUID

from server.auth.queries import find_session
from server.auth.tokens import Tokens
from server.db import Connection
from server.kit.call import Caller
from server.kit.problem import ProblemKind
from server.tenants.model import Tenant, tenant_from

NOT_SIGNED_IN = ProblemKind("auth.required", 401, "Sign in first: the token is missing, expired or not valid.")

SESSION_PREFIX = "session:"
"""Begins the name of a device that does not say which it is and is known by its session; no device may claim one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and the tenant that was asked for: None where none was, or it is unknown."""

    caller: Caller
    tenant: Tenant | None


def bearer_token(authorization: str | None) -> str:
    """The token of an Authorization header with the scheme Bearer, in any case. Raises `auth.required`."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NOT_SIGNED_IN()
    return token.strip()


async def identify(db: Connection, tokens: Tokens, token: str, *, tenant: str | None, device_id: str = "") -> Identity:
    """Who holds the token, and the tenant named by `tenant` (a config id or number). Raises `auth.required`."""
    session_id = _session_id(tokens, token)
    row = await find_session(db, session_id, tenant)
    if row is None:
        raise NOT_SIGNED_IN()
    caller = Caller(
        account_id=row["user_id"],
        email=row["email"],
        is_operator=row["user_role"] == "ADMIN",
        session_id=str(session_id),
        device=device_id or f"{SESSION_PREFIX}{session_id}",
    )
    if row["id"] is None:
        return Identity(caller, None)
    return Identity(replace(caller, role=row["member_role"]), tenant_from(row))


def _session_id(tokens: Tokens, token: str) -> UUID:
    try:
        return UUID(tokens.session_of(token) or "")
    except ValueError:
        raise NOT_SIGNED_IN() from None
