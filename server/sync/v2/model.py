"""What pull and snapshot take and answer, named as on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_GREATEST = 2**53
_KINDS = frozenset({"events", "entities"})

Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
Token = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$")]


def _kinds(text: str) -> str:
    kinds = text.split(",")
    if not _KINDS.issuperset(kinds):
        raise ValueError("has to be a list of events and entities")
    return text


class PullQuery(BaseModel):
    """Where to go on and what to leave out. `include` is a list of events and entities, with a comma between them.

    `limit` is how many events come at most, or entities where these alone are asked for: 1000 where none is given and
    10000 at most; in a stream as many as one likes.
    """

    model_config = ConfigDict(extra="ignore")

    cursor: Annotated[str, Field(max_length=100)] | None = None
    limit: Annotated[int, AfterValidator(lambda given: min(max(given, 1), _GREATEST))] | None = None
    include: Annotated[str, AfterValidator(_kinds)] = "events"
    form: Text | None = None
    entity: Text | None = None
    others: bool = False

    @property
    def kinds(self) -> frozenset[str]:
        """What is included."""
        return frozenset(self.include.split(","))


class SnapshotQuery(BaseModel):
    """Of which form; behind which `resume` line of an earlier answer."""

    model_config = ConfigDict(extra="ignore")

    form: Text | None = None
    resume: Token | None = None


class PulledEvent(BaseModel):
    """An event as it was pushed, its number, and what became of it. `account` and `deviceId` say who sent it.

    `applied` is what of its data counts, where that is less. Of one that is `erased`, what it said of a person was
    taken out; `digest` is that of what was pushed, in hexadecimal. One that `erases` deletes a person for good.
    """

    guid: str
    entityGuid: str
    type: str
    data: dict[str, Any]
    timestamp: str
    userId: str
    seq: int
    receivedAt: str
    deviceId: str
    account: str
    outcome: Literal["applied", "waiting", "without-effect"]
    reason: str
    baseVersion: int | None = None
    applied: dict[str, Any] | None = None
    erased: Literal[True] | None = None
    digest: str | None = None
    erases: Literal[True] | None = None


class EntityState(BaseModel):
    """An entity as the events so far have made it. `version` is the number of the last that mentioned or changed it.

    `erased`: it was deleted for good, and devices keep nothing that was said of it.
    """

    guid: str
    version: int
    state: Literal["missing", "live", "deleted"]
    type: Literal["individual", "group"]
    form: str
    name: str
    externalId: str | None
    data: dict[str, Any]
    memberIds: list[str]
    parentIds: list[str]
    lastUpdated: str
    erased: Literal[True] | None = None


class PulledPage(BaseModel):
    """A part of the log. `cursor` goes into the next request, whether or not there is more."""

    epoch: str
    cursor: str
    more: bool
    events: list[PulledEvent] = []
    entities: list[EntityState] = []
