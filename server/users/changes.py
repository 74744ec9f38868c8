"""Creating, changing and deleting accounts, each in an open transaction on the shared schema and on the record."""

from dataclasses import replace
from typing import Any

from server.audit import Author, record
from server.auth.credentials import end_credentials
from server.auth.mailed_tokens.queries import delete_tokens_of
from server.db import Connection
from server.kit.numbers import whole_number
from server.kit.problem import FieldError, ProblemKind
from server.users import queries
from server.users.memberships import (
    check_is_not_guarded,
    checked_memberships,
    memberships_of,
    record_memberships,
)
from server.users.model import ADMIN, LARGEST_ID, MembershipAnswer, NewUser, User, UserChange, subject_of

UNKNOWN_USER = ProblemKind("users.unknown", 404, "User not found")
EMAIL_TAKEN = ProblemKind("users.email-taken", 409, "Another account has this e-mail address.")
LAST_ADMIN = ProblemKind("users.last-admin", 409, "This is the last administrator: make another one first.")


async def create_user(db: Connection, author: Author, new: NewUser, password_hash: str) -> int:
    """Adds the account and returns its number. Raises `users.email-taken` and `users.bad-memberships`."""
    await queries.lock_accounts(db)
    await check_email_is_free(db, new.email)
    memberships = await checked_memberships(db, new.memberships)
    user_id = await queries.insert_user(db, new.email, password_hash, new.role)
    await queries.replace_memberships(db, user_id, _roles(memberships))
    after = {"email": new.email, "role": new.role, "memberships": _details(memberships)}
    await record(db, author, "users.create", subject_of(user_id), after=after)
    await record_memberships(db, author, user_id, [], memberships)
    return user_id


async def update_user(
    db: Connection,
    author: Author,
    reference: str,
    change: UserChange,
    password_hash: str | None,
    *,
    owns_database: bool = False,
) -> None:
    """Changes the account; `password_hash` None keeps its password.

    A new password ends the account's sessions, except the author's own, and its app passwords. Raises
    `users.unknown`, `users.email-taken`, `users.last-admin`, `users.bad-memberships`, and `users.guarded` where
    somebody else's password or address would change who works in a tenant that guards its data; not for who owns the
    database and reads it all anyway.
    """
    await queries.lock_accounts(db)
    before = await get_user(db, reference)
    after = replace(before, email=change.email or before.email, role=change.role or before.role)
    await check_email_is_free(db, after.email, but=before.id)
    takes_over = password_hash is not None or after.email != before.email
    if takes_over and not owns_database and author.account != str(before.id):
        await check_is_not_guarded(db, before.id)
    if before.role == ADMIN and after.role != ADMIN:
        await _check_another_admin(db)
    held, given = await _change_memberships(db, before.id, change)
    await queries.update_user(db, after, password_hash)
    if takes_over:
        # What was mailed to the address before must not open the account any more.
        await delete_tokens_of(db, before.id)
    if password_hash is not None:
        await end_credentials(db, before.id, but=author.session_id or None)
    old, new = _differences(_standing(before, held), _standing(after, given))
    if old or password_hash is not None:
        details = {"passwordChanged": True} if password_hash is not None else None
        await record(db, author, "users.update", subject_of(before.id), before=old, after=new, details=details)
    await record_memberships(db, author, before.id, held, given)


async def delete_user(db: Connection, author: Author, reference: str) -> None:
    """Removes the account, which ends its sessions. Raises `users.unknown` and `users.last-admin`."""
    await queries.lock_accounts(db)
    user = await get_user(db, reference)
    if user.role == ADMIN:
        await _check_another_admin(db)
    held = (await memberships_of(db, [user.id]))[user.id]
    await queries.delete_user(db, user.id)
    await record(db, author, "users.delete", subject_of(user.id), before=_standing(user, held))
    await record_memberships(db, author, user.id, held, [])


async def get_user(db: Connection, reference: str) -> User:
    """The account that is meant by a number or an e-mail address; no address is a number, since it holds an @.

    Raises `users.unknown`.
    """
    user = None
    if "@" in reference and "\0" not in reference:
        user = await queries.find_user_by_email(db, reference.strip())
    elif (number := whole_number(reference, LARGEST_ID)) is not None:
        user = await queries.find_user(db, number)
    if user is None:
        raise UNKNOWN_USER()
    return user


async def check_email_is_free(db: Connection, email: str, *, but: int | None = None) -> None:
    """Raises `users.email-taken` where another account than `but` has the address. Call it with accounts locked."""
    holder = await queries.find_user_by_email(db, email)
    if holder is not None and holder.id != but:
        raise EMAIL_TAKEN(errors=[FieldError("email", "Another account has this e-mail address.")])


async def _check_another_admin(db: Connection) -> None:
    if await queries.count_admins(db) < 2:
        raise LAST_ADMIN()


async def _change_memberships(
    db: Connection, user_id: int, change: UserChange
) -> tuple[list[MembershipAnswer], list[MembershipAnswer]]:
    """Replaces the memberships if the change has any; those before and those after."""
    if change.memberships is None:
        return [], []
    held = (await memberships_of(db, [user_id]))[user_id]
    wanted = await checked_memberships(db, change.memberships, held)
    if wanted != held:
        await queries.replace_memberships(db, user_id, _roles(wanted))
    return held, wanted


def _roles(memberships: list[MembershipAnswer]) -> dict[int, str]:
    return {each.tenantId: each.role for each in memberships}


def _details(memberships: list[MembershipAnswer]) -> list[dict[str, Any]]:
    return [each.model_dump() for each in memberships]


def _standing(user: User, memberships: list[MembershipAnswer]) -> dict[str, Any]:
    return {"email": user.email, "role": user.role, "memberships": _details(memberships)}


def _differences(before: dict[str, Any], after: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of both, what is not the same."""
    names = [name for name in before if before[name] != after[name]]
    return {name: before[name] for name in names}, {name: after[name] for name in names}
