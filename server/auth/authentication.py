"""Who a session's token speaks for, and what it may do in the tenant of the request: one statement tells."""

from dataclasses import dataclass
from uuid import UUID

from server.auth.queries import find_session
from server.auth.tokens import Tokens
from server.db import Connection
from server.db.connection import Row
from server.kit.call import Caller
from server.kit.problem import ProblemKind
from server.roles.permissions import OF_A_PHONE, rights_of
from server.tenants.model import Tenant, tenant_from

NOT_SIGNED_IN = ProblemKind("auth.required", 401, "Sign in first: the token is missing, expired or not valid.")
AWAY_TOO_LONG = ProblemKind(
    "auth.away-too-long", 401, "This device has been away for longer than the organization allows: sign in again."
)

SESSION_PREFIX = "session:"
"""Begins the name of a device that does not say which it is and is known by its session; no device may claim one."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and the tenant that was asked for: None where none was, or it is unknown."""

    caller: Caller
    tenant: Tenant | None


async def identify_session(
    db: Connection, tokens: Tokens, token: str, *, tenant: str | None, device_id: str = ""
) -> Identity:
    """Who holds the token, and the tenant named by `tenant` (a config id or number).

    Raises `auth.required`, and `auth.away-too-long` where the tenant's offline period is over for this session.
    """
    row = await find_session(db, _session_id(tokens, token), tenant)
    if row is None:
        raise NOT_SIGNED_IN()
    if row["is_stale"]:
        raise AWAY_TOO_LONG()
    return Identity(caller_from(row, device_id), None if row["id"] is None else tenant_from(row))


def caller_from(row: Row, device_id: str = "") -> Caller:
    """The caller that a row of `find_session` or `list_standings` describes."""
    session_id, is_phone = str(row["session_id"]), row["session_scope"] == "sync"
    is_operator = row["user_role"] == "ADMIN" and row["bound_to"] is None
    return Caller(
        account=str(row["user_id"]),
        account_id=row["user_id"],
        email=row["email"],
        is_operator=is_operator,
        session_id=session_id,
        role=row["member_role"],
        rights=rights_of(row["member_role"], row["own_permissions"]),
        limited_to=OF_A_PHONE if is_phone else None,
        is_in_person=not is_phone and row["bound_to"] is None,
        lacks_second_factor=bool(row["second_factor"]) and not is_phone and row["second_factor_at"] is None,
        lacks_grant=is_operator and bool(row["guarded"]) and not row["has_grant"],
        device=device_id or f"{SESSION_PREFIX}{session_id}",
    )


def _session_id(tokens: Tokens, token: str) -> UUID:
    try:
        return UUID(tokens.session_of(token) or "")
    except ValueError:
        raise NOT_SIGNED_IN() from None
