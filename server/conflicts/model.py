"""What the addresses of conflicts and histories take and answer, named as on the wire."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from server.entities.paging import MOST_ROWS, PageQuery, Text

State = Literal["open", "chosen", "superseded", "gone"]


class ConflictsQuery(PageQuery):
    """Which conflicts, the newest first. `form` is the one that the entity has now."""

    state: State = "open"
    entity: Text | None = None
    form: Text | None = None


class Side(BaseModel):
    """One of the two values: the event that wrote it, when by the device's clock, when it arrived, and who sent it."""

    value: Any
    event: str
    at: str
    receivedAt: str
    account: str
    deviceId: str
    userId: str


class Conflict(BaseModel):
    """Two devices wrote one field, the later one not knowing of the other.

    Of the two, `standing` is the one that stands; `current` is what the field holds now, null where it holds nothing.
    `settledWith` is the event that settled it.
    """

    id: int
    entityGuid: str
    entityName: str
    form: str
    field: str
    foundAt: str
    state: State
    standing: Side
    other: Side
    current: Any
    settledAt: str | None
    settledBy: str | None
    settledWith: str | None


class Choice(BaseModel):
    """The value that is to stand: that of one of the two events, or one of its own. Exactly one is given."""

    event: Annotated[Text, Field(min_length=1)] | None = None
    value: Any = None
    configId: str | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "Choice":
        if (self.event is None) == ("value" not in self.model_fields_set):
            raise ValueError("give either event or value")
        return self


class HistoryQuery(BaseModel):
    """How many events an answer covers, and where it goes on."""

    model_config = ConfigDict(extra="ignore")

    limit: Annotated[int, AfterValidator(lambda given: min(max(given, 1), MOST_ROWS))] = 200
    after: Annotated[str, Field(max_length=20_000)] | None = None


class Happened(BaseModel):
    """What is told of each event: `at` by the device's clock, and what became of it."""

    event: str
    seq: int
    at: str
    receivedAt: str
    account: str
    deviceId: str
    userId: str
    outcome: Literal["applied", "waiting", "without-effect"]
    reason: str


class Written(Happened):
    """A value that an event wrote into a field, or would have.

    `stood` tells that it is the one that stands now; `unseen` are events of other devices on the field that its maker
    had not seen, as far as that is known. `conflict` is the number of a conflict in which it takes part.
    """

    value: Any
    stood: bool
    unseen: list[str]
    conflict: int | None


class MembershipChange(Happened):
    """Members that an event put into a group or took out of it."""

    group: str
    change: Literal["added", "removed"]
    members: list[str]


class History(BaseModel):
    """How an entity came to be what it is, each list the oldest first in the order in which events count.

    `after` goes into the next request where there is more.
    """

    guid: str
    fields: dict[str, list[Written]]
    memberships: list[MembershipChange]
    deletions: list[Happened]
    more: bool
    after: str | None
