"""What health answers."""

from typing import Literal

from pydantic import BaseModel, Field


class Health(BaseModel):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The server can do its work; tenants whose schema is behind are refused until they are migrated."""

    status: Literal["ready"] = "ready"
    tenantsBehind: int = Field(ge=0, description="Tenants not served because `croft migrate` has not reached them.")
