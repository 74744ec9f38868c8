"""The endpoints of signing in and out."""

from server.auth import queries
from server.auth.model import Credentials, LoginAnswer, Message
from server.auth.passwords import check_password, shares_of
from server.auth.sessions import Sessions
from server.db import Database
from server.kit.call import Call
from server.kit.problem import ProblemKind

WRONG_CREDENTIALS = ProblemKind("auth.wrong-credentials", 401, "Invalid email or password")


async def login(call: Call, *, database: Database, sessions: Sessions, bcrypt_cost: int) -> LoginAnswer:
    """Opens a session. Nobody learns from the answer, or from its time, whether it is the account that is unknown.

    No connection is held while the password is checked.
    """
    given: Credentials = call.body
    async with database.shared(readonly=True) as db:
        known = await queries.find_credentials(db, given.email.strip())
    stored = known["password_hash"] if known else None
    shares = shares_of(call.address, given.email)
    if not await check_password(given.password, stored, cost=bcrypt_cost, shares=shares) or known is None:
        raise WRONG_CREDENTIALS()
    async with database.shared() as db:
        token = await sessions.open(db, known["id"], known["password_hash"], at=call.at, address=call.address)
    if token is None:
        raise WRONG_CREDENTIALS()
    return LoginAnswer(token=token, userId=known["id"])


async def logout(call: Call) -> Message:
    """Ends the caller's session; the token is worth nothing from now on."""
    await queries.delete_session(call.db, call.caller.session_id)
    return Message(message="Signed out")


async def check_token(_: Call) -> Message:
    """Says that the token holds: a caller whose token does not never comes here."""
    return Message(message="Token is valid")
