"""What the addresses of persons take and answer, named as on the wire."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


class ErasureOrder(BaseModel):
    """`reason` is kept for good, so it should not name the person; `confirm` is her guid once more."""

    reason: Reason
    confirm: str = ""
    configId: str | None = None


class ErasureQuery(BaseModel):
    """Whether only to say what would happen."""

    model_config = ConfigDict(extra="ignore")

    dryRun: bool = False


class NamedEntity(BaseModel):
    """An entity that lives; `name` as it is shown."""

    guid: str
    type: str
    name: str


class PastErasure(BaseModel):
    """When somebody was erased, by whom and why."""

    at: str
    by: str
    reason: str


class ErasurePreview(BaseModel):
    """What an erasure would meet. `members` living members keep a group from being erased.

    `groups` are those whose events speak of the person. `found` counts what holds something of hers: events,
    quarantine, deviceAudit, conflicts, duplicates, duplicateKeys, externalIds, configs.
    """

    guid: str
    state: str
    type: str
    form: str
    members: int
    erased: PastErasure | None
    groups: list[NamedEntity]
    found: dict[str, int]


class PersonExport(BaseModel):
    """All that is held about a person. Of what others' events say only `parts`, the objects that are about her."""

    model_config = ConfigDict(extra="allow")

    guid: str
    exportedAt: str
    organization: str
    erased: PastErasure | None
    present: dict[str, Any] | None
    groups: list[NamedEntity]
    members: list[NamedEntity]
    externalIds: list[dict[str, Any]]
    events: list[dict[str, Any]]
    conflicts: list[dict[str, Any]]
    duplicates: list[dict[str, Any]]
    quarantine: list[dict[str, Any]]
    deviceAudit: list[dict[str, Any]]
    configs: list[dict[str, Any]]
    acts: list[dict[str, Any]]


class ErasureAnswer(BaseModel):
    """`emptied` counts what was: events, otherEntities, quarantine, deviceAudit, configs, acts."""

    guid: str
    erased: PastErasure
    emptied: dict[str, int]
