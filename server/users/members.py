"""The members of one tenant, as its own people administer them: who is one, as what, and no longer.

Accounts of anybody else are as good as unknown here: nobody learns who has one.
"""

from dataclasses import replace

from server.audit import author_of
from server.kit.call import Answer, Call
from server.kit.numbers import whole_number
from server.kit.problem import ProblemKind
from server.roles.decision import acts_as_operator
from server.roles.giving import check_role_can_be_given, check_within_own_rights, find_rights
from server.roles.permissions import ADMINISTRATOR, Permission
from server.users import queries
from server.users.memberships import record_role
from server.users.model import LARGEST_ID, Member, MemberAnswer, MemberList, MembersMeta, page_of

UNKNOWN_MEMBER = ProblemKind("members.unknown", 404, "There is no such member.")
LAST_ADMINISTRATOR = ProblemKind(
    "members.last-administrator", 409, "This is the organization's last administrator: make another one first."
)


async def list_members(call: Call) -> MemberList:
    """A page of the tenant's members."""
    query = call.query
    total = await queries.count_members(call.db, call.tenant.id, query.search)
    page = page_of(total, query.page, query.pageSize)
    limit = page.limit or 1
    members = await queries.list_members(
        call.db, call.tenant.id, query.search, query.sort, limit=limit, offset=page.offset
    )
    meta = MembersMeta(
        total=total, page=page.offset // limit + 1, pageSize=limit, totalPages=max(1, -(-total // limit))
    )
    return MemberList(data=[_answer(each) for each in members], meta=meta)


async def change_member(call: Call) -> MemberAnswer:
    """Gives a member another role: one that can do no more than the caller, in place of one that could not either."""
    member = await member_within_own_rights(call)
    role: str = call.body.role
    await check_role_can_be_given(call.db, call.tenant, role, call.caller)
    if role != member.role:
        await _check_administrator_remains(call, member)
        await queries.set_member_role(call.db, call.tenant.id, member.user_id, role)
        await record_role(call.db, author_of(call), call.tenant, member.user_id, before=member.role, after=role)
    return _answer(replace(member, role=role))


async def remove_member(call: Call) -> Answer:
    """Ends a membership, and with it at once all that the person can do in the tenant."""
    member = await member_within_own_rights(call)
    await _check_administrator_remains(call, member)
    await queries.delete_memberships(call.db, member.user_id, [call.tenant.id])
    await record_role(call.db, author_of(call), call.tenant, member.user_id, before=member.role, after=None)
    return Answer(b"", status=204)


async def member_within_own_rights(call: Call) -> Member:
    """The member that the path names as `user`, by number or address, who can do no more than the caller; locked.

    Raises `members.unknown` and `roles.beyond-own-rights`.
    """
    await queries.lock_members(call.db, call.tenant.id)
    reference = call.path["user"].strip()
    number = whole_number(reference, LARGEST_ID)
    member = await queries.find_member(call.db, call.tenant.id, user_id=number, email=reference)
    if member is None:
        raise UNKNOWN_MEMBER()
    rights = await find_rights(call.db, call.tenant.id, member.role) or frozenset()
    check_within_own_rights(call.caller, call.tenant, member.role, rights)
    return member


async def _check_administrator_remains(call: Call, member: Member) -> None:
    """Without an administrator nobody of the organization could give rights; operators may know what they do."""
    if member.role != ADMINISTRATOR or acts_as_operator(call.caller, Permission.MEMBERS_MANAGE):
        return
    if await queries.count_administrators(call.db, call.tenant.id) < 2:
        raise LAST_ADMINISTRATOR()


def _answer(member: Member) -> MemberAnswer:
    return MemberAnswer(
        userId=member.user_id,
        email=member.email,
        role=member.role,
        since=member.since,
        operator=member.is_operator,
    )
