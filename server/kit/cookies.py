"""The cookies of a browser session, and the token against cross-site requests that goes with them.

The session's own cookie is kept from scripts. The second one is for scripts of our own pages to read: they repeat it
in the header X-CSRF-Token with everything that changes something. It follows from the first one, which nobody else
has, so a page of another site can neither read nor compute it, nor plant a pair of its own: `__Host-` cookies are set
by this host alone.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from typing import Final

SESSION_COOKIE: Final = "__Host-croft-session"
CSRF_COOKIE: Final = "__Host-croft-csrf"
CSRF_HEADER: Final = "x-csrf-token"

_EVERYWHERE: Final = "Path=/; Secure; SameSite=Lax"


def session_cookies(token: str, *, at: datetime, expires: datetime) -> tuple[str, ...]:
    """The values of the Set-Cookie headers that begin a browser session with this token."""
    seconds = max(0, int((expires - at).total_seconds()))
    return (
        f"{SESSION_COOKIE}={token}; Max-Age={seconds}; HttpOnly; {_EVERYWHERE}",
        f"{CSRF_COOKIE}={csrf_token_of(token)}; Max-Age={seconds}; {_EVERYWHERE}",
    )


def no_session_cookies() -> tuple[str, ...]:
    """The values of the Set-Cookie headers that end one."""
    return (
        f"{SESSION_COOKIE}=; Max-Age=0; HttpOnly; {_EVERYWHERE}",
        f"{CSRF_COOKIE}=; Max-Age=0; {_EVERYWHERE}",
    )


def comes_from_another_site(headers: Mapping[str, str]) -> bool:
    """Whether the browser says that a page of another site made the request. Names of headers are in lower case."""
    return headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none")


def cookie_in(header: str, name: str) -> str:
    """The value of a cookie in a Cookie header, empty where there is none, or more than one: nobody can tell ours.

    What other cookies hold makes no difference: sites of the same domain set what they like.
    """
    pairs = (pair.partition("=") for pair in header.split(";"))
    values = [value.strip() for given, _, value in pairs if given.strip() == name]
    return values[0] if len(values) == 1 else ""


def csrf_token_of(token: str) -> str:
    """What a request has to show in X-CSRF-Token when it is made with the cookie that holds the session's token."""
    return hmac.new(token.encode(), b"croft csrf", hashlib.sha256).hexdigest()


def is_csrf_token_of(token: str, given: str) -> bool:
    """Whether `given` is what belongs to the session's token; takes the same time whatever it is."""
    return hmac.compare_digest(csrf_token_of(token).encode(), given.encode("utf-8", "surrogatepass"))
