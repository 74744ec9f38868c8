"""What the lists of entities take and answer, named as on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from server.entities.paging import PageQuery, Text
from server.kit.clock import parse_iso


def _time(text: str) -> str:
    parse_iso(text)
    return text


EntityType = Literal["individual", "group"]


class EntitiesQuery(PageQuery):
    """Which entities. `search` is a part of the name in any case, `form` a name that count-by-form answers.

    The newest come first, names from A to Z, unless `order` says otherwise.
    """

    sort: Literal["lastUpdated", "name"] = "lastUpdated"
    order: Literal["asc", "desc"] | None = None
    search: Text | None = None
    type: EntityType | None = None
    form: Text | None = None
    updatedSince: Annotated[str, AfterValidator(_time)] | None = None


class EntityQuery(BaseModel):
    """Whether a deleted entity is shown, too."""

    model_config = ConfigDict(extra="ignore")

    deleted: bool = False


class EventsQuery(PageQuery):
    """Which of an entity's events, the oldest first."""


class EntityCount(BaseModel):
    """How many entities there are, both persons and groups."""

    count: int


class EntitySummary(BaseModel):
    """An entity in a list. `memberIds` stands on groups only, `externalId` where there is one."""

    guid: str
    id: str
    name: str
    entityName: str
    type: EntityType
    data: dict[str, Any]
    version: int
    lastUpdated: str
    memberIds: list[str] = []
    externalId: str | None = None


class EntityDetail(BaseModel):
    """One entity. `parentIds` are the groups that it is a member of."""

    guid: str
    id: str
    name: str
    entityName: str
    type: EntityType
    data: dict[str, Any]
    memberIds: list[str]
    parentIds: list[str]
    externalId: str | None
    version: int
    lastUpdated: str
    state: Literal["live", "deleted"]


class EntityEvent(BaseModel):
    """An event as it was pushed, and what became of it.

    `applied` is there where less than `data` counted. `account` and `deviceId` say who really sent it. Of one that is
    `erased`, what it said of a person was taken out.
    """

    guid: str
    entityGuid: str
    type: str
    data: dict[str, Any]
    timestamp: str
    userId: str
    syncLevel: int
    seq: int
    receivedAt: str
    account: str
    deviceId: str
    outcome: Literal["applied", "waiting", "without-effect"]
    reason: str
    applied: dict[str, Any] | None = None
    erased: Literal[True] | None = None
