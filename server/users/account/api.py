"""The endpoints of one's own account."""

from collections.abc import Sequence
from functools import partial

from server.audit import Author, author_of, record
from server.auth.credentials import end_credentials
from server.auth.login import WRONG_PASSWORD, Attempt, Checking, check_own_password
from server.auth.mailed_tokens import Purpose, issue
from server.auth.mailed_tokens.queries import delete_tokens_of
from server.auth.mailed_tokens.tokens import get_token, take_token
from server.auth.model import Message, Proof
from server.auth.passwords import WEAK_PASSWORD, check_password_rules, has_password, hash_password
from server.auth.queries import find_login, lock_credentials, replace_hash
from server.auth.throttling import subjects
from server.auth.throttling.queries import mark_place
from server.auth.throttling.subjects import network_of
from server.auth.throttling.throttle import give_back, reserve
from server.kit.call import Answer, Call
from server.kit.clock import utc_now
from server.kit.problem import FieldError
from server.mail import Letter
from server.users import queries as users
from server.users.account import letters, queries
from server.users.changes import check_email_is_free
from server.users.mailing import Mailing
from server.users.model import subject_of


async def change_password(call: Call, *, checking: Checking, mailing: Mailing) -> Message:
    """Gives the caller another password, and ends the sessions that were opened with the old one, except this.

    App passwords stay, and what they opened: they were not made of the old password, and phones in the field would be
    signed out. Who fears that somebody was in the account revokes them, or sets a password by mail, which ends all.

    Raises `auth.wrong-password` (403), `users.weak-password` (422), and 429 as a login does.
    """
    given, caller = call.body, call.caller
    proof = await check_own_password(_attempt(call, given.currentPassword), checking)
    await check_password_rules(given.newPassword, caller.email, field="newPassword")
    if given.newPassword == given.currentPassword:
        raise WEAK_PASSWORD(errors=[FieldError("newPassword", "The password must be another one than before.")])
    fresh = await hash_password(given.newPassword, cost=checking.bcrypt_cost)
    async with checking.database.shared() as db:
        if not await replace_hash(db, caller.account_id, proof.password_hash, fresh):
            raise WRONG_PASSWORD()
        await queries.end_other_logins(db, caller.account_id, caller.session_id)
        await delete_tokens_of(db, caller.account_id)
        await record(db, author_of(call), "password.changed", subject_of(caller.account_id))
    mailing.outbox.post(letters.password_changed_letter(caller.email))
    return Message(message="The password is changed")


async def request_reset(call: Call, *, checking: Checking, mailing: Mailing) -> Answer:
    """Has a mail sent to the owner of an account, if there is one. Answers the same, as soon, if there is none.

    Raises `auth.too-many-attempts`, whether or not there is an account.
    """
    email, network = call.body.email.strip(), network_of(call.address)
    async with checking.database.shared(readonly=True) as db:
        account = await find_login(db, email, network, call.at)
    is_known_place = account is not None and bool(account["is_known_place"])
    await reserve(checking.database, subjects.of_reset(email, network, is_known_place=is_known_place), call.at)
    mailing.outbox.write_later(partial(_write_reset, email, checking, mailing))
    return Answer(Message(message="If there is such an account, a mail is on its way to it"), status=202)


async def confirm_reset(call: Call, *, checking: Checking, mailing: Mailing) -> Message:
    """Sets the password of the account that the token was mailed for, and ends all that opened it so far.

    The place is known from now on. Raises `auth.link-not-valid` (400), `users.weak-password` (422), and 429.
    """
    given, attempts = call.body, subjects.of_token("reset", call.address)
    await reserve(checking.database, attempts, call.at)
    async with checking.database.shared(readonly=True) as db:
        mailed = await get_token(db, Purpose.PASSWORD_RESET, given.token, call.at)
    await check_password_rules(given.newPassword, mailed.email, field="newPassword")
    fresh = await hash_password(given.newPassword, cost=checking.bcrypt_cost)
    async with checking.database.shared() as db:
        mailed = await take_token(db, Purpose.PASSWORD_RESET, given.token, call.at)
        email = await queries.set_password(db, mailed.user_id, fresh)
        await end_credentials(db, mailed.user_id)
        await mark_place(db, mailed.user_id, network_of(call.address), call.at)
        await give_back(db, attempts)
        author = Author(str(mailed.user_id), "", call.address)
        await record(db, author, "password.reset", subject_of(mailed.user_id))
    mailing.outbox.post(letters.password_changed_letter(email or mailed.email))
    return Message(message="The password is set: sign in with it")


async def request_email_change(call: Call, *, checking: Checking, mailing: Mailing) -> Answer:
    """Has a mail sent to a new address of the caller, and a notice to the old one.

    The answer is the same if another account has the new address. Raises `auth.wrong-password` (403), and 429.
    """
    given, caller = call.body, call.caller
    await reserve(checking.database, subjects.of_email_change(caller.account_id), call.at)
    proof = await check_own_password(_attempt(call, given.password), checking)
    mailing.outbox.write_later(partial(_write_email_change, proof, given.newEmail, author_of(call), checking, mailing))
    return Answer(Message(message="A mail is on its way to the new address: answer it"), status=202)


async def confirm_email_change(call: Call, *, checking: Checking, mailing: Mailing) -> Message:
    """Gives the account the address that the token was mailed to. Raises `auth.link-not-valid` (400), and 429."""
    attempts = subjects.of_token("email", call.address)
    await reserve(checking.database, attempts, call.at)
    async with checking.database.shared() as db:
        await users.lock_accounts(db)
        mailed = await take_token(db, Purpose.EMAIL_CHANGE, call.body.token, call.at)
        before = await users.find_user(db, mailed.user_id)
        assert before is not None
        await check_email_is_free(db, mailed.email, but=before.id)
        await queries.set_email(db, before.id, mailed.email)
        # A reset that was mailed to the old address must not open the account any more.
        await delete_tokens_of(db, before.id)
        await give_back(db, attempts)
        author = Author(str(before.id), "", call.address)
        old, new = {"email": before.email}, {"email": mailed.email}
        await record(db, author, "email.changed", subject_of(before.id), before=old, after=new)
    mailing.outbox.post(letters.email_changed_letter(before.email))
    return Message(message="The e-mail address is changed")


def _attempt(call: Call, password: str) -> Attempt:
    return Attempt(email=call.caller.email, password=password, address=call.address, at=call.at)


async def _write_reset(email: str, checking: Checking, mailing: Mailing) -> Sequence[Letter]:
    async with checking.database.shared() as db:
        account = await queries.find_account(db, email)
        if account is None:
            return []
        user_id, address, stored = account
        if not has_password(stored):
            return [letters.no_password_letter(address)]
        token = await issue(db, user_id, Purpose.PASSWORD_RESET, address, utc_now())
    return [letters.reset_letter(address, token, mailing.links)]


async def _write_email_change(
    proof: Proof, new: str, author: Author, checking: Checking, mailing: Mailing
) -> Sequence[Letter]:
    user_id = proof.user_id
    async with checking.database.shared() as db:
        # A password that was changed meanwhile ended what was asked for with the old one.
        if not await lock_credentials(db, user_id, proof.password_hash):
            return []
        user = await users.find_user(db, user_id)
        assert user is not None
        holder = await users.find_user_by_email(db, new)
        if holder is not None and holder.id != user_id:
            return [letters.email_taken_letter(new), letters.email_about_to_change_letter(user.email)]
        token = await issue(db, user_id, Purpose.EMAIL_CHANGE, new, utc_now())
        await record(db, author, "email-change.requested", subject_of(user_id), details={"email": new})
    return [letters.confirm_email_letter(new, token, mailing.links), letters.email_about_to_change_letter(user.email)]
