"""Tokens: what a caller shows. A token only names a session; the session decides whether it still holds.

Each is signed with HMAC-SHA256 by one secret and checked with that one or any other that is accepted, so that secrets
can be changed one after the other while everybody stays signed in. The header says by `kid` which secret it was.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import jwt

from server.kit.clock import utc_now

_ALGORITHM = "HS256"
_ISSUER = "croft"
_REQUIRED = ("exp", "iss", "sid", "sub")

MOST_CHARACTERS: Final = 2000
"""Longer texts are no tokens of ours."""

_MOST_HEADER_CHARACTERS = 200
_MOST_KEPT = 4096
"""How many tokens are kept as they were read: some megabytes at most."""


class Use(StrEnum):
    """What a token is for. One that was issued for one use is worth nothing for another.

    ACCESS: short, of a session with refresh tokens. TOKEN: as long as its session. BROWSER: the same, in a cookie.
    REFRESH: to be exchanged for the next ACCESS and REFRESH.
    """

    ACCESS = "access"
    TOKEN = "token"  # noqa: S105 - a word, not a secret
    BROWSER = "browser"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of ours says. `generation` counts the session's refresh tokens, `token_id` is this one's own."""

    use: Use
    session_id: UUID
    generation: int = 1
    token_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class _Key:
    id: str
    secret: str = field(repr=False)


def key_id(secret: str) -> str:
    """The `kid` of tokens signed with the secret: 8 hexadecimal digits that say nothing else about it."""
    return hashlib.sha256(f"croft signing key {secret}".encode()).hexdigest()[:8]


class Tokens:
    """Signs tokens of this installation with `secret`, and reads what was signed with it or with one of `others`.

    Each secret has at least 32 characters.
    """

    def __init__(self, secret: str, others: Sequence[str] = ()) -> None:
        self._keys = tuple(_Key(key_id(each), each) for each in (secret, *others))
        # What a token says and who signed it never changes; whether it still holds is asked each time.
        self._content = lru_cache(_MOST_KEPT)(self._content_of)

    def issue(self, claims: Claims, user_id: int, *, at: datetime, expires: datetime) -> str:
        """A signed token for the session of the account."""
        key = self._keys[0]
        content = {
            "iss": _ISSUER,
            "sub": str(user_id),
            "sid": str(claims.session_id),
            "use": claims.use.value,
            "gen": claims.generation,
            "iat": at,
            "exp": expires,
        }
        if claims.token_id is not None:
            content["jti"] = str(claims.token_id)
        return jwt.encode(content, key.secret, algorithm=_ALGORITHM, headers={"kid": key.id})

    def read(self, token: str, uses: Collection[Use]) -> Claims | None:
        """What the token says; None for one that is not ours, altered, expired, or for none of these uses.

        A refresh token does not expire by itself: how long it holds is its session's matter, and an old one that is
        shown again has to be known for what it is.
        """
        content = self._content(token) if len(token) <= MOST_CHARACTERS else None
        claims = None if content is None else _claims(content)
        if content is None or claims is None or claims.use not in uses:
            return None
        is_over = claims.use is not Use.REFRESH and not _is_ahead(content["exp"])
        return None if is_over else claims

    def _content_of(self, token: str) -> dict[str, Any] | None:
        """What is in a token that one of the keys has signed; `kid` is None in those of the version without keys."""
        # The length of the header bounds how deep its JSON can be nested.
        if len(token.partition(".")[0]) > _MOST_HEADER_CHARACTERS:
            return None
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except (jwt.InvalidTokenError, ValueError):
            return None
        for key in self._keys:
            if kid in (None, key.id) and (content := _verified(token, key)) is not None:
                # Those without a kid are the tokens of sessions, from before there were others.
                return content if (kid is None) == ("use" not in content) else None
        return None


def _verified(token: str, key: _Key) -> dict[str, Any] | None:
    options: Any = {"require": list(_REQUIRED), "verify_exp": False, "verify_iat": False}
    try:
        return jwt.decode(token, key.secret, algorithms=[_ALGORITHM], issuer=_ISSUER, options=options)
    except (jwt.InvalidTokenError, ValueError):
        return None


def _claims(content: dict[str, Any]) -> Claims | None:
    try:
        return Claims(
            use=Use(content.get("use", Use.TOKEN)),
            session_id=UUID(content["sid"]),
            generation=int(content.get("gen", 1)),
            token_id=UUID(content["jti"]) if "jti" in content else None,
        )
    except (AttributeError, TypeError, ValueError):
        return None


def _is_ahead(moment: Any) -> bool:
    return isinstance(moment, int | float) and moment > utc_now().timestamp()
