"""What the addresses about tenants take and answer, named as on the wire."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from server.tenants.model import Tenant

LARGEST_PAGE = 100
BY_COUNT: Final = "entitiesCount"
_LARGEST_INTEGER = 2**31 - 1

_PageNumber = Annotated[int, AfterValidator(lambda number: max(number, 1))]
_PageSize = Annotated[int, AfterValidator(lambda size: min(max(size, 1), LARGEST_PAGE))]
_Search = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]


class PageQuery(BaseModel):
    """Which page of a list. Numbers out of range are taken for the nearest in it."""

    model_config = ConfigDict(extra="ignore")

    page: _PageNumber = 1
    pageSize: _PageSize = 12
    sortOrder: Literal["asc", "desc"] = "asc"
    search: _Search = Field("", description="A part of the name, id or version, in any case.")


class AppsQuery(PageQuery):
    """Which page of the apps."""

    sortBy: Literal["name", "id", "entitiesCount"] = "name"


class TenantsQuery(PageQuery):
    """Which page of the tenants; without a state, all but the deleted ones."""

    sortBy: Literal["name", "id", "entitiesCount", "createdAt"] = "name"
    state: Literal["active", "suspended", "deleted", "all"] | None = None


class ListMeta(BaseModel):
    """Where in the list the page is, with the values that were used."""

    total: int
    page: int
    pageSize: int
    totalPages: int
    sortBy: str
    sortOrder: str
    search: str


class AppSummary(BaseModel):
    """An app in a list. Secrets in externalSync are masked."""

    id: str
    artifactId: str
    name: str
    version: str
    description: str
    externalSync: dict[str, Any]
    entitiesCount: int
    state: str


class AppList(BaseModel):
    """A page of apps."""

    data: list[AppSummary]
    meta: ListMeta


class AppDocument(BaseModel):
    """A whole app config, secrets masked, with every other key that was uploaded."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str
    artifactId: str
    entityForms: list[dict[str, Any]]
    entityData: list[dict[str, Any]]
    externalSync: dict[str, Any]
    authConfigs: list[dict[str, Any]]


class UploadAnswer(BaseModel):
    """What became of an upload: `number` counts the versions of the tenant's config."""

    status: Literal["success"] = "success"
    artifactId: str
    number: int


class Done(BaseModel):
    """It is as it was asked for."""

    status: Literal["success"] = "success"


class ConfigVersion(BaseModel):
    """One upload of a tenant's config. `uploadedBy` is an account's number or a word for who else did it."""

    number: int
    name: str
    version: str
    uploadedAt: datetime
    uploadedBy: str
    current: bool


class RollBack(BaseModel):
    """Which version's document becomes the next version."""

    number: Annotated[int, Field(ge=1, le=_LARGEST_INTEGER)]


class NewTenant(BaseModel):
    """A tenant without forms yet."""

    id: str
    name: str
    description: str | None = None


class Restore(BaseModel):
    """Under which id a deleted tenant comes back; without one, its own."""

    newId: str | None = None


class TenantAnswer(BaseModel):
    """A tenant as operators see it. `id` is its config id, `tenantId` its number, which is never used again."""

    id: str
    tenantId: int
    artifactId: str
    name: str
    description: str
    version: str
    state: Literal["active", "suspended", "deleted"]
    configNumber: int
    schemaVersion: str
    entitiesCount: int
    createdAt: datetime
    deletedAt: datetime | None


class TenantList(BaseModel):
    """A page of tenants."""

    data: list[TenantAnswer]
    meta: ListMeta


class PublicArtifact(BaseModel):
    """What a phone needs to begin; no secret and no seed data."""

    model_config = ConfigDict(extra="allow")

    id: str
    artifactId: str
    name: str
    description: str
    version: str
    url: str
    entityForms: list[dict[str, Any]]
    entityData: list[dict[str, Any]]
    syncServerUrl: str


def tenant_answer(tenant: Tenant) -> TenantAnswer:
    """The tenant on the wire."""
    return TenantAnswer.model_validate(
        {
            "id": tenant.config_id,
            "tenantId": tenant.id,
            "artifactId": tenant.artifact_id,
            "name": tenant.name,
            "description": tenant.description,
            "version": tenant.version,
            "state": tenant.state,
            "configNumber": tenant.config_number,
            "schemaVersion": tenant.schema_version,
            "entitiesCount": tenant.entities_count,
            "createdAt": tenant.created_at,
            "deletedAt": tenant.deleted_at,
        }
    )
