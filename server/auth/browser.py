"""The endpoints by which a person signs in with a browser: the session's token is in a cookie that no script reads."""

from pydantic import BaseModel

from server.auth import queries
from server.auth.login import Attempt, Checking, prove_in_person
from server.auth.model import Message
from server.auth.sessions import Sessions
from server.auth.sessions.api import open_session
from server.auth.sessions.model import Opened, SignIn
from server.kit.call import Answer, Call
from server.kit.cookies import comes_from_another_site, csrf_token_of, no_session_cookies, session_cookies
from server.kit.problem import ProblemKind

FROM_ANOTHER_SITE = ProblemKind("auth.from-another-site", 403, "A page of another site cannot sign anybody in here.")


class BrowserAnswer(BaseModel):
    """Whose session it is, and what its pages send as X-CSRF-Token with everything that changes something."""

    userId: int
    csrfToken: str


async def login(call: Call, *, checking: Checking, sessions: Sessions) -> Answer:
    """Opens a session for the browser that asks: sets its cookies, and answers what goes into X-CSRF-Token.

    An app password opens none. Raises as every login does, and `auth.from-another-site`, so that nobody is signed in
    under somebody else's account without knowing.
    """
    if comes_from_another_site(call.headers):
        raise FROM_ANOTHER_SITE()
    given: SignIn = call.body
    proof = await prove_in_person(
        Attempt(email=given.email, password=given.password, code=given.code, address=call.address, at=call.at), checking
    )
    opened = await open_session(
        call, proof, database=checking.database, sessions=sessions, kind="browser", name=given.deviceName
    )
    answer = BrowserAnswer(userId=opened.user_id, csrfToken=csrf_token_of(opened.token))
    return Answer(answer, cookies=cookies_of(opened, call))


async def logout(call: Call) -> Answer:
    """Ends the caller's session and takes its cookies back."""
    if call.caller.session_id:
        await queries.delete_session(call.db, call.caller.session_id)
    return Answer(Message(message="Signed out"), cookies=no_session_cookies())


def cookies_of(opened: Opened, call: Call) -> tuple[str, ...]:
    """The cookies of a session that was just opened, for as long as it lasts."""
    return session_cookies(opened.token, at=call.at, expires=opened.session_expires_at)
