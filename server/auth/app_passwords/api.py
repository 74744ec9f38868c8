"""The endpoints of one's own app passwords."""

from typing import Final

from server.audit import author_of, record
from server.auth.app_passwords import queries
from server.auth.app_passwords.making import make_app_password
from server.auth.app_passwords.model import AppPasswordAnswer, AppPasswordMade
from server.auth.authentication import NOT_SIGNED_IN
from server.auth.issuing import LARGEST_ID, check_is_to_come
from server.auth.model import Message
from server.auth.queries import lock_account
from server.kit.call import Answer, Call
from server.kit.numbers import whole_number
from server.kit.problem import ProblemKind

MOST_OF_ACCOUNT: Final = 50

UNKNOWN = ProblemKind("app-passwords.unknown", 404, "You have no such app password.")
TOO_MANY = ProblemKind(
    "app-passwords.too-many", 409, f"An account has {MOST_OF_ACCOUNT} app passwords at the most: revoke one first."
)


async def list_app_passwords(call: Call) -> list[AppPasswordAnswer]:
    """The caller's app passwords, those that are over included."""
    return [
        AppPasswordAnswer(
            id=row["id"],
            name=row["name"],
            createdAt=row["created_at"],
            expiresAt=row["expires_at"],
            lastUsedAt=row["last_used_at"],
        )
        for row in await queries.list_of(call.db, call.caller.account_id)
    ]


async def make(call: Call) -> Answer:
    """A new app password for the caller. It is shown in this answer and never again.

    Where a second factor is asked for it counts if the caller has shown one. Raises `app-passwords.too-many`.
    """
    new, user_id = call.body, call.caller.account_id
    check_is_to_come(new.expiresAt, call.at)
    await lock_account(call.db, user_id)
    if await queries.count_of(call.db, user_id) >= MOST_OF_ACCOUNT:
        raise TOO_MANY()
    password, digest = make_app_password()
    number = await queries.insert(call.db, user_id, new.name, digest, call.caller.session_id, call.at, new.expiresAt)
    if number is None:
        raise NOT_SIGNED_IN()
    after = {"name": new.name, "expiresAt": new.expiresAt.isoformat() if new.expiresAt else None}
    await record(call.db, author_of(call), "app-password.created", f"app-password:{number}", after=after)
    made = AppPasswordMade(
        id=number, name=new.name, createdAt=call.at, expiresAt=new.expiresAt, lastUsedAt=None, password=password
    )
    return Answer(made, status=201)


async def revoke(call: Call) -> Message:
    """Ends one of the caller's app passwords and every session that it opened."""
    number = whole_number(call.path["number"], LARGEST_ID)
    name = None if number is None else await queries.delete(call.db, number, call.caller.account_id)
    if name is None:
        raise UNKNOWN()
    subject = f"app-password:{number}"
    await record(call.db, author_of(call), "app-password.revoked", subject, before={"name": name})
    return Message(message="The app password is revoked")
