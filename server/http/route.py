"""What one line of the route table says."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from server.kit.call import Call
from server.roles.permissions import Permission

Handler = Callable[[Call], Awaitable[Any]]
Scope = Literal["tenant", "stream", "shared", "none"]
TenantNeed = Literal["required", "optional", "none"]


class NoQuery(BaseModel):
    """A route without query parameters of its own."""

    model_config = ConfigDict(extra="ignore")


@dataclass(frozen=True, slots=True)
class Route:
    """One URL: who may call it, where it works, what it takes and what it answers.

    scope: 'tenant' opens the transaction in the tenant's schema, 'shared' in the shared one, 'none' opens none;
    'stream' opens none either, the handler opens short ones in the tenant's schema by `call.reading`.
    tenant: whether the request has to name a tenant, by configId or X-Tenant-Id or the path parameter `tenant_in_path`.
    An optional one that is unknown leaves the caller without a role, so that only operators may go on.
    sees_everything: the handler looks after what is hidden from the caller (`call.sight`) itself.
    body_optional: no body at all is `body` with its defaults.
    lines: the list in `body` that a body of application/x-ndjson makes up, one value a line; without it none is taken.
    compressed: whether the body may have a Content-Encoding, gzip or zstd.
    streamed: whether the answer may also be application/x-ndjson, for the OpenAPI document.
    answers: models of the successful answers by status, for the OpenAPI document; None where the answer has no JSON.
    """

    method: str
    path: str
    handler: Handler
    permission: Permission
    summary: str
    tag: str
    scope: Scope = "tenant"
    tenant: TenantNeed = "required"
    tenant_in_path: str | None = None
    write: bool = True
    sees_everything: bool = False
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    body_optional: bool = False
    upload: bool = False
    lines: str | None = None
    compressed: bool = False
    streamed: bool = False
    answers: Mapping[int, Any] = field(default_factory=dict)
    problems: tuple[int, ...] = ()
    media_type: str = "application/json"

    @property
    def takes_body(self) -> bool:
        """Whether it reads the body of a request."""
        return self.body is not None or self.upload

    @property
    def is_public(self) -> bool:
        """Whether it answers without a token."""
        return self.permission is Permission.PUBLIC
