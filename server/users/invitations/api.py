"""The endpoints of invitations: the organization's, and those of whoever was invited."""

from datetime import timedelta
from typing import Final

from server.audit import Author, author_of, record
from server.auth.login import Attempt, Checking, prove_in_person
from server.auth.mailed_tokens import LINK_NOT_VALID, digest_of_token, make_token
from server.auth.model import Message
from server.auth.passwords import check_password_rules, hash_password
from server.auth.throttling import subjects
from server.auth.throttling.queries import mark_place
from server.auth.throttling.subjects import network_of
from server.auth.throttling.throttle import give_back, reserve
from server.db import Connection
from server.kit.call import Answer, Call
from server.kit.numbers import whole_number
from server.kit.problem import ProblemKind
from server.mail import Letter
from server.mail.letter import one_line
from server.roles.decision import sight_of_role
from server.roles.giving import check_role_can_be_given, find_rights
from server.roles.permissions import Permission
from server.tenants.model import Tenant
from server.users import queries as users
from server.users.invitations import queries
from server.users.invitations.model import Invitation, InvitationAnswer
from server.users.mailing import Links, Mailing
from server.users.memberships import record_role
from server.users.model import LARGEST_ID, subject_of

UNKNOWN = ProblemKind("invitations.unknown", 404, "There is no such invitation; it may have been accepted.")
TOO_MANY = ProblemKind("invitations.too-many", 409, "Too many invitations wait to be accepted: withdraw some first.")
OF_SOMEBODY_ELSE = ProblemKind(
    "invitations.of-another", 403, "This invitation is for another e-mail address than that of your account."
)

LIFETIME: Final = timedelta(days=7)
MOST_WAITING: Final = 1000


async def invite(call: Call, *, checking: Checking, mailing: Mailing) -> Answer:
    """Invites somebody to the tenant, by mail. Nobody learns from it whether there is such an account.

    Raises `roles.cannot-be-given` (422), `roles.beyond-own-rights` (403), `invitations.too-many` (409) and
    `auth.too-many-attempts` (429).
    """
    given, caller, tenant = call.body, call.caller, call.tenant
    await reserve(checking.database, subjects.of_invitation(tenant.id, given.email), call.at)
    token = make_token()
    async with checking.database.shared() as db:
        await check_role_can_be_given(db, tenant, given.role, caller)
        if await queries.count_invitations(db, tenant.id) >= MOST_WAITING:
            raise TOO_MANY()
        invitation = await queries.upsert_invitation(
            db,
            tenant.id,
            given.email,
            given.role,
            digest_of_token(token),
            invited_by=caller.account,
            inviter_id=caller.account_id,
            at=call.at,
            expires=call.at + LIFETIME,
        )
        after = {"email": given.email, "role": given.role}
        await record(db, author_of(call), "invitation.sent", _subject(invitation), tenant=tenant, after=after)
    mailing.outbox.post(_letter(given.email, tenant.name, token, mailing.links))
    return Answer(_answer(invitation), status=201)


async def list_invitations(call: Call) -> list[InvitationAnswer]:
    """The tenant's invitations that were not accepted so far."""
    return [_answer(each) for each in await queries.list_invitations(call.db, call.tenant.id, call.at)]


async def withdraw(call: Call) -> Answer:
    """Takes an invitation back. Raises `invitations.unknown`."""
    number = whole_number(call.path["invitation"], LARGEST_ID)
    gone = None if number is None else await queries.delete_invitation(call.db, call.tenant.id, number)
    if gone is None:
        raise UNKNOWN()
    before = {"email": gone.email, "role": gone.role}
    await record(call.db, author_of(call), "invitation.withdrawn", _subject(gone), tenant=call.tenant, before=before)
    return Answer(b"", status=204)


async def accept(call: Call, *, checking: Checking) -> Message:
    """Makes whoever was invited a member: the account with this address, by its password, or else a new one.

    Raises `auth.link-not-valid` (400), what a login does for an account, and for a new one `users.weak-password` (422).
    """
    given, digest = call.body, digest_of_token(call.body.token)
    attempts = subjects.of_token("invitation", call.address)
    await reserve(checking.database, attempts, call.at)
    async with checking.database.shared(readonly=True) as db:
        invitation = _valid(await queries.find_invitation(db, digest, call.at))
        account = await users.find_user_by_email(db, invitation.email)
    proof, fresh = None, ""
    if account is not None:
        attempt = Attempt(invitation.email, given.password, call.address, call.at, given.code)
        proof = await prove_in_person(attempt, checking)
    else:
        await check_password_rules(given.password, invitation.email)
        fresh = await hash_password(given.password, cost=checking.bcrypt_cost)
    async with checking.database.shared() as db:
        user_id = proof.user_id if proof else await _insert_account(db, invitation, fresh, call)
        author = Author(str(user_id), "", call.address)
        await give_back(db, attempts)
        await _join(db, author, user_id, digest, call)
        if account is None:
            after = {"email": invitation.email, "role": "USER"}
            await record(db, author, "users.create", subject_of(user_id), after=after)
    return Message(message="Welcome: sign in with your e-mail address and password")


async def accept_signed_in(call: Call, *, checking: Checking) -> Message:
    """Makes the caller, whose account has the invited address, a member.

    Raises `auth.link-not-valid` (400), `invitations.of-another` (403), and 429.
    """
    digest = digest_of_token(call.body.token)
    attempts = subjects.of_token("invitation", call.address)
    await reserve(checking.database, attempts, call.at)
    async with checking.database.shared() as db:
        invitation = _valid(await queries.find_invitation(db, digest, call.at))
        if invitation.email.lower() != call.caller.email.lower():
            raise OF_SOMEBODY_ELSE()
        await give_back(db, attempts)
        await _join(db, author_of(call), call.caller.account_id, digest, call)
    return Message(message="You are a member now")


async def _insert_account(db: Connection, invitation: Invitation, password_hash: str, call: Call) -> int:
    await users.lock_accounts(db)
    if await users.find_user_by_email(db, invitation.email) is not None:
        # Made a moment ago, by somebody else who may have had another password in mind.
        raise LINK_NOT_VALID("There is an account with this address by now: accept with its password.")
    user_id = await users.insert_user(db, invitation.email, password_hash, "USER")
    await mark_place(db, user_id, network_of(call.address), call.at)
    return user_id


async def _join(db: Connection, author: Author, user_id: int, digest: bytes, call: Call) -> None:
    """Uses the invitation up. Who is a member already stays one in the role that he has."""
    invitation = _valid(await queries.take_invitation(db, digest, call.at))
    tenant = await queries.lock_active_tenant(db, invitation.tenant_id)
    if tenant is None or not await _may_still_be_given(db, tenant, invitation):
        raise LINK_NOT_VALID("What this invitation is for is gone: ask for a new one.")
    is_new = await queries.insert_membership(db, user_id, tenant.id, invitation.role)
    await record(db, author, "invitation.accepted", _subject(invitation), tenant=tenant)
    if is_new:
        await record_role(db, author, tenant, user_id, before=None, after=invitation.role)


async def _may_still_be_given(db: Connection, tenant: Tenant, invitation: Invitation) -> bool:
    """Whether there is such a role, and the member who asked could ask now: he may hold less than he did then."""
    rights = await find_rights(db, tenant.id, invitation.role)
    if rights is None or invitation.inviter_id is None:
        return rights is not None
    role = await queries.find_inviters_role(db, tenant.id, invitation.inviter_id) or ""
    held = await find_rights(db, tenant.id, role) or frozenset()
    sees = sight_of_role(role, tenant.form_roles).hidden <= sight_of_role(invitation.role, tenant.form_roles).hidden
    return Permission.MEMBERS_MANAGE in held and rights <= held and sees


def _valid(invitation: Invitation | None) -> Invitation:
    if invitation is None:
        raise LINK_NOT_VALID()
    return invitation


def _answer(invitation: Invitation) -> InvitationAnswer:
    return InvitationAnswer(
        id=invitation.id,
        email=invitation.email,
        role=invitation.role,
        invitedBy=invitation.invited_by,
        invitedAt=invitation.invited_at,
        expiresAt=invitation.expires_at,
    )


def _subject(invitation: Invitation) -> str:
    return f"invitation:{invitation.id}"


def _letter(email: str, tenant: str, token: str, links: Links) -> Letter:
    text = f"""\
You are invited to work with an organization that collects its data with Croft:

    {one_line(tenant)}

{links.how_to("accept within 7 days", "/account/invitation", token)}

If you have an account with this e-mail address, its password is asked for; else you choose one.
If you do not know what this is about, do nothing.
"""
    return Letter("invitation", email, "An invitation", text)
