"""The endpoints of signing in with refresh tokens, and of one's own sessions."""

from uuid import UUID

from server.audit import author_of, record
from server.auth.authentication import named_device
from server.auth.login import WRONG_CREDENTIALS, Attempt, Checking, prove
from server.auth.model import Proof
from server.auth.sessions import queries
from server.auth.sessions.model import (
    MOST_TOLD_CHARACTERS,
    Ended,
    Kind,
    Opened,
    SessionAnswer,
    SignedIn,
    SignIn,
)
from server.auth.sessions.opening import Sessions
from server.auth.sessions.refreshing import Refreshing
from server.db import Database
from server.db.connection import Row
from server.kit.call import Answer, Call
from server.kit.problem import ProblemKind
from server.tenants.model import Tenant

UNKNOWN_SESSION = ProblemKind("sessions.unknown", 404, "There is no such session; it may have ended.")

_NOT_TO_BE_KEPT = {"Cache-Control": "no-store"}


async def login(call: Call, *, checking: Checking, sessions: Sessions) -> Answer:
    """Opens a session with an access and a refresh token."""
    given: SignIn = call.body
    proof = await prove(
        Attempt(email=given.email, password=given.password, code=given.code, address=call.address, at=call.at), checking
    )
    opened = await open_session(
        call, proof, database=checking.database, sessions=sessions, kind="refresh", name=given.deviceName
    )
    return _signed_in(call, opened)


async def open_session(
    call: Call, proof: Proof, *, database: Database, sessions: Sessions, kind: Kind, name: str = ""
) -> Opened:
    """Opens a session for whoever calls, who has proved who it is. `name` is what the device is called.

    Raises `auth.wrong-credentials` where the account is gone or has another password since the proof.
    """
    async with database.shared() as db:
        opened = await sessions.open(
            db,
            proof,
            kind=kind,
            at=call.at,
            address=call.address,
            device_id=named_device(call.headers.get("x-device-id", "")),
            device_name=_told(name),
            user_agent=_told(call.headers.get("user-agent", "")),
        )
    if opened is None:
        raise WRONG_CREDENTIALS()
    return opened


async def refresh(call: Call, *, refreshing: Refreshing) -> Answer:
    """Exchanges a refresh token for the next access and refresh token."""
    return _signed_in(call, await refreshing.refresh(call.body.refreshToken, at=call.at, address=call.address))


async def list_own(call: Call) -> list[SessionAnswer]:
    """The caller's own sessions."""
    return await list_sessions_of(call, call.caller.account_id)


async def end_own(call: Call) -> Ended:
    """Ends one of the caller's own sessions, perhaps the one that the request is made with."""
    return await end_session_of(call, call.caller.account_id)


async def end_all_own(call: Call) -> Ended:
    """Ends the caller's own sessions: all of them, or all others."""
    but = call.caller.session_id if call.query.others else None
    return await end_sessions_of(call, call.caller.account_id, but=but)


async def list_sessions_of(call: Call, user_id: int, *, tenant: Tenant | None = None) -> list[SessionAnswer]:
    """The account's sessions, the last seen first; with a tenant those that reach it."""
    rows = await queries.list_sessions(call.db, user_id, call.at, tenant_id=tenant.id if tenant else None)
    return [_answer(row, call.caller.session_id) for row in rows]


async def end_session_of(call: Call, user_id: int, *, tenant: Tenant | None = None) -> Ended:
    """Ends the account's session that the path names by `id`. Raises `sessions.unknown`."""
    ended = await end_sessions_of(call, user_id, only=_session_id(call.path["id"]), tenant=tenant)
    if not ended.ended:
        raise UNKNOWN_SESSION()
    return ended


async def end_sessions_of(
    call: Call, user_id: int, *, only: UUID | None = None, but: str | None = None, tenant: Tenant | None = None
) -> Ended:
    """Ends the account's sessions, or `only` one, except `but`; with a tenant those that reach it. It is on record."""
    ids = await queries.end_sessions(call.db, user_id, only=only, but=but, tenant_id=tenant.id if tenant else None)
    if ids:
        details = {"sessions": sorted(map(str, ids))}
        await record(call.db, author_of(call), "session.ended", f"user:{user_id}", tenant=tenant, details=details)
    return Ended(ended=len(ids))


def _signed_in(call: Call, opened: Opened) -> Answer:
    assert opened.refresh_token is not None
    body = SignedIn(
        accessToken=opened.token,
        expiresIn=max(0, int((opened.expires_at - call.at).total_seconds())),
        refreshToken=opened.refresh_token,
        refreshExpiresAt=opened.session_expires_at,
        userId=opened.user_id,
    )
    return Answer(body, headers=_NOT_TO_BE_KEPT)


def _told(text: str) -> str:
    """What a client says about itself, as far as it can be shown."""
    return "".join(filter(str.isprintable, text[:MOST_TOLD_CHARACTERS])).strip()


def _session_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UNKNOWN_SESSION() from None


def _answer(row: Row, current: str) -> SessionAnswer:
    return SessionAnswer(
        id=str(row["id"]),
        kind=row["kind"],
        scope=row["scope"],
        createdAt=row["created_at"],
        renewedAt=row["renewed_at"],
        lastSeenAt=row["last_seen_at"],
        expiresAt=row["expires_at"],
        address=row["address"],
        deviceId=row["device_id"],
        deviceName=row["device_name"],
        userAgent=row["user_agent"],
        isCurrent=str(row["id"]) == current,
    )
