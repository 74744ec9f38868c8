"""The endpoints of signing in with a browser at a tenant's provider."""

from server.kit.call import Answer, Call
from server.kit.cookies import cookie_in, session_cookies
from server.kit.problem import ProblemKind
from server.oidc.login import LOGIN_COOKIE, BrowserLogin, no_login_cookie
from server.oidc.model import PublicProviders

NO_ADDRESS = ProblemKind(
    "auth.no-public-address", 421, "This server does not know its public address. Its operator sets PUBLIC_BASE_URL."
)

_FOUND = 302
_NOT_KEPT = {"Cache-Control": "no-store"}


async def list_providers(call: Call, *, login: BrowserLogin) -> PublicProviders:
    """What a browser can sign in with. An unknown tenant has none, as many a known one."""
    return PublicProviders(providers=await login.list_providers(call.query.configId))


async def start_login(call: Call, *, login: BrowserLogin) -> Answer:
    """Sends the browser to the provider."""
    if not call.origin:
        raise NO_ADDRESS()
    started = await login.start(
        call.path["configId"], call.path["type"], origin=call.origin, return_to=call.query.returnTo, at=call.at
    )
    return Answer(b"", status=_FOUND, headers={**_NOT_KEPT, "Location": started.location}, cookies=(started.cookie,))


async def finish_login(call: Call, *, login: BrowserLogin) -> Answer:
    """Opens a session for the browser that comes back, and sends it where it wanted to go."""
    cookie = cookie_in(call.headers.get("cookie", ""), LOGIN_COOKIE)
    signed_in = await login.finish(
        call.path["configId"], call.path["type"], call.query, cookie, at=call.at, address=call.address
    )
    cookies = (*session_cookies(signed_in.token, at=call.at, expires=signed_in.expires_at), no_login_cookie())
    return Answer(b"", status=_FOUND, headers={**_NOT_KEPT, "Location": signed_in.return_to}, cookies=cookies)
