"""Tokens: what a caller shows. A token only names a session; the session decides whether it still holds."""

from dataclasses import dataclass
from datetime import datetime

import jwt

_ALGORITHM = "HS256"
_ISSUER = "croft"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Signs and reads the tokens of this installation with one secret of at least 32 characters."""

    secret: str

    def issue(self, session_id: str, user_id: int, *, at: datetime, expires: datetime) -> str:
        """A signed token for the session."""
        claims = {"iss": _ISSUER, "sub": str(user_id), "sid": session_id, "iat": at, "exp": expires}
        return jwt.encode(claims, self.secret, algorithm=_ALGORITHM)

    def session_of(self, token: str) -> str | None:
        """The id of the session that the token names, None for a token that is not ours, expired or altered."""
        try:
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[_ALGORITHM],
                issuer=_ISSUER,
                options={"require": ["exp", "sub", "sid", "iss"]},
            )
        except jwt.InvalidTokenError:
            return None
        session_id = claims["sid"]
        return session_id if isinstance(session_id, str) else None
