"""Who a session's token speaks for, and what it may do in the tenant of the request: one statement tells.

It is asked anew for every request and nothing of it is kept: what was taken away is gone with the next request.
"""

from dataclasses import dataclass
from typing import Final

from server.auth.queries import find_session, mark_delivered
from server.auth.sessions.model import USE_OF_KIND
from server.auth.tokens import Claims, Tokens, Use
from server.db import Database
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

_RESERVED: Final = (SESSION_PREFIX, "service:")
"""How the names begin that the server gives to devices which do not say which they are."""

MOST_DEVICE_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, and the tenant that was asked for: None where none was, or it is unknown."""

    caller: Caller
    tenant: Tenant | None


_IN_A_HEADER: Final = frozenset({Use.ACCESS, Use.TOKEN})
_IN_A_COOKIE: Final = frozenset({Use.BROWSER})


async def identify_session(
    database: Database,
    tokens: Tokens,
    token: str,
    *,
    tenant: str | None,
    device_id: str = "",
    is_cookie: bool = False,
    operators_need_second_factor: bool = False,
) -> Identity:
    """Who holds the token, and the tenant named by `tenant` (a config id or number).

    `is_cookie`: it came in a cookie, where tokens of browser sessions are good and no others; in a header they are not.
    Raises `auth.required`, and `auth.away-too-long` where the tenant's offline period is over for this session.
    """
    claims = tokens.read(token, _IN_A_COOKIE if is_cookie else _IN_A_HEADER)
    if claims is None:
        raise NOT_SIGNED_IN()
    async with database.single() as db:
        row = await find_session(db, claims.session_id, tenant)
    if row is None or USE_OF_KIND[row["session_kind"]] is not claims.use:
        raise NOT_SIGNED_IN()
    if _proves_delivery(claims, row):
        # Once in a generation, and before the request goes on: after it nobody may renew by the token before.
        async with database.shared() as db:
            await mark_delivered(db, claims.session_id, claims.generation)
    if row["is_stale"]:
        raise AWAY_TOO_LONG()
    caller = caller_from(row, device_id, operators_need_second_factor=operators_need_second_factor)
    return Identity(caller, None if row["id"] is None else tenant_from(row))


def caller_from(row: Row, device_id: str = "", *, operators_need_second_factor: bool = False) -> Caller:
    """The caller that a row of `find_session` or `list_standings` describes."""
    session_id, is_phone = str(row["session_id"]), row["session_scope"] == "sync"
    is_operator = row["user_role"] == "ADMIN" and row["bound_to"] is None
    needs_second_factor = bool(row["second_factor"]) or (is_operator and operators_need_second_factor)
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
        bound_to=row["bound_to"],
        lacks_second_factor=needs_second_factor and row["second_factor_at"] is None,
        lacks_grant=is_operator and bool(row["guarded"]) and not row["has_grant"],
        has_grant=is_operator and bool(row["guarded"]) and bool(row["has_grant"]),
        device=device_id or f"{SESSION_PREFIX}{session_id}",
    )


def _proves_delivery(claims: Claims, row: Row) -> bool:
    return claims.use is Use.ACCESS and claims.generation == row["generation"] and not row["delivered"]


def named_device(given: str) -> str:
    """The device that a client says it is, in X-Device-Id; empty where it says nothing, or what cannot be a name."""
    is_fit = 0 < len(given) <= MOST_DEVICE_CHARACTERS and given.isprintable() and not given.startswith(_RESERVED)
    return given if is_fit else ""
