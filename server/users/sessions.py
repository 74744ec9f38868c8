"""The endpoints of other people's sessions: operators see and end anybody's, a tenant's administrators its members'."""

from server.auth.sessions.api import end_session_of, end_sessions_of, list_sessions_of
from server.auth.sessions.model import Ended, SessionAnswer
from server.auth.sessions.queries import belongs_to_tenant_alone
from server.kit.call import Call
from server.kit.problem import ProblemKind
from server.users.changes import UNKNOWN_USER, get_user
from server.users.members import member_within_own_rights

NOT_YOURS = ProblemKind(
    "sessions.not-yours", 403, "An operator has to do this: the account does not belong to this organization alone."
)


async def list_sessions(call: Call) -> list[SessionAnswer]:
    """The sessions of an account, by its id or e-mail address."""
    user = await get_user(call.db, call.path["user"])
    return await list_sessions_of(call, user.id)


async def end_session(call: Call) -> Ended:
    """Ends one session of an account."""
    user = await get_user(call.db, call.path["user"])
    return await end_session_of(call, user.id)


async def end_sessions(call: Call) -> Ended:
    """Ends all sessions of an account."""
    user = await get_user(call.db, call.path["user"])
    return await end_sessions_of(call, user.id)


async def list_sessions_of_member(call: Call) -> list[SessionAnswer]:
    """The sessions of a member of the tenant."""
    return await list_sessions_of(call, await _own_member(call), tenant=call.tenant)


async def end_session_of_member(call: Call) -> Ended:
    """Ends one session of a member of the tenant: a phone that was lost."""
    user_id = await _own_member(call)
    await member_within_own_rights(call)
    return await end_session_of(call, user_id, tenant=call.tenant)


async def end_sessions_of_member(call: Call) -> Ended:
    """Ends all sessions of a member of the tenant."""
    user_id = await _own_member(call)
    await member_within_own_rights(call)
    return await end_sessions_of(call, user_id, tenant=call.tenant)


async def _own_member(call: Call) -> int:
    """The account that the path names by `user`. Raises `users.unknown` for who is no member of the tenant.

    Raises `sessions.not-yours` for operators and for members of other tenants: where these work, and when, is not this
    tenant's to see, nor may it sign them out there. Taking the membership away keeps them out of this one.
    """
    user = await get_user(call.db, call.path["user"])
    is_own = await belongs_to_tenant_alone(call.db, user.id, call.tenant.id)
    if is_own is None:
        raise UNKNOWN_USER()
    if not is_own:
        raise NOT_YOURS()
    return user.id
