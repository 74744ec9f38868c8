"""The endpoints of signing in and out, as old clients do."""

from server.auth import queries
from server.auth.login import Attempt, Checking, prove
from server.auth.model import Credentials, LoginAnswer, Message
from server.auth.sessions import Sessions
from server.auth.sessions.api import open_session
from server.kit.call import Call


async def login(call: Call, *, checking: Checking, sessions: Sessions) -> LoginAnswer:
    """Opens a session with one token that lasts as long as the session does."""
    given: Credentials = call.body
    proof = await prove(Attempt(email=given.email, password=given.password, address=call.address, at=call.at), checking)
    opened = await open_session(call, proof, database=checking.database, sessions=sessions, kind="token")
    return LoginAnswer(token=opened.token, userId=opened.user_id)


async def logout(call: Call) -> Message:
    """Ends the caller's session; the token is worth nothing from now on."""
    if call.caller.session_id:  # an API key has none
        await queries.delete_session(call.db, call.caller.session_id)
    return Message(message="Signed out")


async def check_token(_: Call) -> Message:
    """Says that the token holds: a caller whose token does not never comes here."""
    return Message(message="Token is valid")
