"""What operators do for somebody who has lost the device that shows his codes, and the recovery codes with it."""

from server.audit import Author, author_of, record
from server.auth.model import Message
from server.auth.second_factor import reset
from server.db import Connection
from server.kit.call import Call
from server.kit.problem import ProblemKind
from server.users.changes import get_user
from server.users.memberships import check_is_not_guarded
from server.users.model import User, subject_of

NONE_THERE = ProblemKind("users.no-second-factor", 404, "This account has no second factor.")
OWN_FACTOR = ProblemKind("users.own-second-factor", 409, "Remove your own second factor with your password and a code.")


async def reset_second_factor(db: Connection, author: Author, reference: str) -> User:
    """Removes the second factor of an account, by its number or e-mail address, and ends the account's sessions.

    Sessions of app passwords stay. Raises `users.unknown`, `users.no-second-factor`, and `users.own-second-factor`:
    whoever sits down at an operator's open session must not be able to get rid of the factor.
    """
    user = await get_user(db, reference)
    if str(user.id) == author.account:
        raise OWN_FACTOR()
    if not await reset(db, user.id):
        raise NONE_THERE()
    await record(db, author, "second-factor.reset", subject_of(user.id), details={"email": user.email})
    return user


async def delete_second_factor(call: Call) -> Message:
    """Removes the second factor of somebody else's account. Raises `users.guarded`."""
    await check_is_not_guarded(call.db, (await get_user(call.db, call.path["user"])).id)
    user = await reset_second_factor(call.db, author_of(call), call.path["user"])
    return Message(message=f"The second factor of {user.email} is removed")
