"""Which keys name a secret, in an app config or anywhere else."""

import re

_SEPARATORS = re.compile(r"[\W_]+")

# A key is secret when it is one of these or ends with one: `smtpPassword`, `OPENFN_API_KEY`, `client-secret`.
_SECRET_ENDINGS = (
    "password",
    "passwd",
    "pwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "jwt",
    "credential",
    "authorization",
    "assertion",
    "connectionstring",
    *(f"{use}key" for use in ("api", "access", "secret", "private", "signing", "encryption", "shared", "master")),
    *(f"{use}key" for use in ("server", "app", "auth", "client", "subscription", "preshared", "hmac", "session")),
)
_SECRET_WORDS = frozenset({"pass", "pin", "psk", "dsn", "cookie"})
_AUTH_HEADERS = "xauth"


def plain(key: str) -> str:
    """The key without case and separators: `client_secret`, `Client-Secret` and `clientSecret` are one."""
    return _SEPARATORS.sub("", key.casefold())


def is_secret_key(key: str) -> bool:
    """True when all that stands under this key is secret; `tokens` and `apiKey2` count as `token` and `apiKey`."""
    name = plain(key).rstrip("0123456789")
    singular = name.removesuffix("s")
    if name in _SECRET_WORDS or name.startswith(_AUTH_HEADERS):
        return True
    return name.endswith(_SECRET_ENDINGS) or singular.endswith(_SECRET_ENDINGS)
