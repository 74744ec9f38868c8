"""What a handler gets and what it gives back, free of HTTP."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from server.kit.sight import EVERYTHING, Sight

if TYPE_CHECKING:
    from server.db.connection import Connection


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what has to be known to decide what he may do in the tenant of the request.

    account: how records name the caller: an account's number, which outlives a change of address, or `service:` and
    the number of a service account.
    account_id: the number of the account, 0 for a service account and for nobody.
    role: the role in the tenant, None where there is none; rights: the permissions that it holds.
    limited_to: the only permissions that this credential gives, None for one that is not limited.
    is_in_person: the person signed in herself, by what only she knows: no key, app password or provider speaks for her.
    api_key: what may be shown of the API key that speaks for a service account, empty for everybody else.
    bound_to: the number of the only tenant that this credential reaches, None where it reaches all of the account's.
    lacks_second_factor: one is asked for here and was not shown.
    lacks_grant, has_grant: which of the two, of an operator in a guarded tenant; neither anywhere else.
    device: the device that it says it is, or else its session.
    """

    account: str
    account_id: int
    email: str
    is_operator: bool
    session_id: str
    role: str | None = None
    rights: frozenset[str] = frozenset()
    limited_to: frozenset[str] | None = None
    is_in_person: bool = True
    api_key: str = ""
    bound_to: int | None = None
    lacks_second_factor: bool = False
    lacks_grant: bool = False
    has_grant: bool = False
    device: str = ""

    @property
    def is_outsider(self) -> bool:
        """Whether it is an operator in a tenant that he is no member of."""
        return self.is_operator and self.role is None


@dataclass(frozen=True, slots=True)
class Upload:
    """A JSON file sent as multipart/form-data, or the body itself: the document in it. `came` is False without one."""

    document: Any = None
    came: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One request, authenticated, permitted and validated, with its transaction open in its scope.

    `db` is the connection (absent for routes without a scope), `tenant` the tenant of the request or None, `query` and
    `body` are instances of the route's models, `origin` is the public base URL of this server without a trailing slash.
    `reading` opens a read-only transaction in the tenant's scope, `writing` one that may write: for routes of scope
    'stream', which have no other.
    `headers` are those of the request, names in lower case, for what is negotiated: Accept, If-None-Match.
    `authorization` is that header as it came, for a public route that asks for a secret of its own.
    `sight`: what of the tenant's records is hidden from the caller; the transactions are narrowed by it already, except
    on routes that see everything.
    `after_commit` takes what is to be done once the transaction has been committed, and only then.
    """

    db: "Connection"
    caller: Caller
    tenant: Any
    path: Mapping[str, str]
    query: Any
    body: Any
    at: datetime
    request_id: str
    address: str
    origin: str
    authorization: str = field(default="", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    reading: "Callable[[], AbstractAsyncContextManager[Connection]]" = field(default=lambda: _no_scope(), repr=False)
    writing: "Callable[[], AbstractAsyncContextManager[Connection]]" = field(default=lambda: _no_scope(), repr=False)
    sight: Sight = EVERYTHING
    after_commit: list[Callable[[], None]] = field(default_factory=list)


def _no_scope() -> Any:
    raise RuntimeError("only a route of scope 'stream' opens its transactions itself")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer other than 200 with JSON. A `body` of bytes goes out as it is. `cookies` are values of Set-Cookie."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    media_type: str = "application/json"
    cookies: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Streamed:
    """An answer that is sent piece by piece. No transaction may be open while a piece is on its way.

    A handler has found out all that could refuse the request before it returns one: the status is 200.
    """

    pieces: AsyncIterator[bytes]
    media_type: str = "application/x-ndjson"
    headers: Mapping[str, str] = field(default_factory=dict)
