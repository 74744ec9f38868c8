"""Creating, changing and deleting accounts, each in an open transaction on the shared schema and on the record."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from server.audit import Author, record
from server.auth.queries import delete_sessions
from server.db import Connection
from server.kit.numbers import whole_number
from server.kit.passwords import password_problems
from server.kit.problem import FieldError, ProblemKind
from server.users import queries
from server.users.memberships import checked_memberships, memberships_of
from server.users.model import ADMIN, LARGEST_ID, MembershipAnswer, NewUser, User, UserChange, subject_of

UNKNOWN_USER = ProblemKind("users.unknown", 404, "User not found")
EMAIL_TAKEN = ProblemKind("users.email-taken", 409, "Another account has this e-mail address.")
LAST_ADMIN = ProblemKind("users.last-admin", 409, "This is the last administrator: make another one first.")
WEAK_PASSWORD = ProblemKind("users.weak-password", 422, "The password breaks a rule.")


def check_password_rules(password: str) -> None:
    """Raises `users.weak-password` (422) with every rule that the password breaks."""
    problems = password_problems(password)
    if problems:
        errors = [FieldError("password", f"The password {problem}.") for problem in problems]
        raise WEAK_PASSWORD(f"The password {', '.join(problems)}.", errors=errors)


async def create_user(db: Connection, author: Author, new: NewUser, password_hash: str) -> int:
    """Adds the account and returns its number. Raises `users.email-taken` and `users.bad-memberships`."""
    await queries.lock_accounts(db)
    await _check_email_is_free(db, new.email)
    memberships = await checked_memberships(db, new.memberships)
    user_id = await queries.insert_user(db, new.email, password_hash, new.role)
    await queries.replace_memberships(db, user_id, _roles(memberships))
    details = {"email": new.email, "role": new.role, "memberships": _details(memberships)}
    await _record(db, author, "users.create", user_id, details)
    return user_id


async def update_user(
    db: Connection, author: Author, reference: str, change: UserChange, password_hash: str | None
) -> None:
    """Changes the account; `password_hash` None keeps its password.

    A new password ends the account's sessions, except the author's own. Raises `users.unknown`, `users.email-taken`,
    `users.last-admin` and `users.bad-memberships`.
    """
    await queries.lock_accounts(db)
    before = await get_user(db, reference)
    after = replace(before, email=change.email or before.email, role=change.role or before.role)
    await _check_email_is_free(db, after.email, but=before.id)
    if before.role == ADMIN and after.role != ADMIN:
        await _check_another_admin(db)
    details = await _change_memberships(db, before.id, change)
    await queries.update_user(db, after, password_hash)
    if password_hash is not None:
        await delete_sessions(db, before.id, but=author.session_id or None)
        details["passwordChanged"] = True
    details |= _differences(before, after)
    if details:
        await _record(db, author, "users.update", before.id, details)


async def delete_user(db: Connection, author: Author, reference: str) -> None:
    """Removes the account, which ends its sessions. Raises `users.unknown` and `users.last-admin`."""
    await queries.lock_accounts(db)
    user = await get_user(db, reference)
    if user.role == ADMIN:
        await _check_another_admin(db)
    await queries.delete_user(db, user.id)
    await _record(db, author, "users.delete", user.id, {"email": user.email, "role": user.role})


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


async def _check_email_is_free(db: Connection, email: str, *, but: int | None = None) -> None:
    holder = await queries.find_user_by_email(db, email)
    if holder is not None and holder.id != but:
        raise EMAIL_TAKEN(errors=[FieldError("email", "Another account has this e-mail address.")])


async def _check_another_admin(db: Connection) -> None:
    if await queries.count_admins(db) < 2:
        raise LAST_ADMIN()


async def _change_memberships(db: Connection, user_id: int, change: UserChange) -> dict[str, Any]:
    """Replaces the memberships if the change has any, and returns what the record shall say about it."""
    if change.memberships is None:
        return {}
    wanted = await checked_memberships(db, change.memberships)
    held = (await memberships_of(db, [user_id]))[user_id]
    await queries.replace_memberships(db, user_id, _roles(wanted))
    if wanted == held:
        return {}
    return {"memberships": {"from": _details(held), "to": _details(wanted)}}


def _roles(memberships: list[MembershipAnswer]) -> dict[int, str]:
    return {each.tenantId: each.role for each in memberships}


def _details(memberships: list[MembershipAnswer]) -> list[dict[str, Any]]:
    return [each.model_dump() for each in memberships]


def _differences(before: User, after: User) -> dict[str, Any]:
    pairs = {"email": (before.email, after.email), "role": (before.role, after.role)}
    return {name: {"from": old, "to": new} for name, (old, new) in pairs.items() if old != new}


async def _record(db: Connection, author: Author, action: str, user_id: int, details: Mapping[str, Any]) -> None:
    await record(db, author, action, subject_of(user_id), details=details)
