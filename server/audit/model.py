"""What the endpoints of the logs of acts take and answer, named as on the wire."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

LARGEST = 2**53
MOST_ACTS = 500

_NO_NUL = r"^[^\x00]*$"
_Word = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_NUL)]


def _in_utc(at: datetime) -> datetime:
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is out of range") from error


_Time = Annotated[datetime, AfterValidator(_in_utc)]


class ActsFilter(BaseModel):
    """Which acts; what is left out does not matter."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    actor: _Word | None = Field(None, description="An account's number, or a word such as command-line.")
    action: _Word | None = Field(None, description="An action such as user.updated, or the word it begins with: user.")
    subject: _Word | None = Field(None, description="What it was done to, such as user:12.")
    since: _Time | None = Field(None, alias="from", description="From this time on.")
    until: _Time | None = Field(None, alias="to", description="Before this time.")


class ActsQuery(ActsFilter):
    """A page of acts, the newest first."""

    before: int | None = Field(
        None, ge=1, le=LARGEST, description="Only acts with a lower number: the `next` of a page."
    )
    limit: int = Field(100, ge=1, le=MOST_ACTS)


class OperatorsFilter(ActsFilter):
    """Which acts of the operators' log."""

    tenant: int | None = Field(None, ge=1, le=LARGEST, description="The number of the tenant that they are about.")


class OperatorsQuery(ActsQuery, OperatorsFilter):
    """A page of the operators' log, the newest first."""


class VerifyQuery(BaseModel):
    """What is to be proven besides: that the log still holds a link that was noted down."""

    model_config = ConfigDict(extra="ignore")

    expect: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        None, description="The link of an earlier answer."
    )


class Act(BaseModel):
    """One act. `number` counts without gaps; `at` is in UTC.

    details: what is known besides, with what it changed under `before` and `after`, secrets masked; empty where they
    were erased. digest: SHA-256 of the text of the details. link: SHA-256 over the link before and the act.
    """

    number: int
    at: str
    actor: str
    sessionId: str
    address: str
    action: str
    subject: str
    tenantId: int | None
    details: dict[str, Any]
    erased: bool
    digest: str
    link: str


class ActsPage(BaseModel):
    """A page of acts, the newest first. `next` is the `before` of the next page, null on the last one."""

    acts: list[Act]
    next: int | None


class Verified(BaseModel):
    """Whether a log is what was recorded.

    acts: how many were recorded. link: that of the last one; kept elsewhere, it proves later that nothing was made
    anew. brokenAt, fault: the number of the first act that is not what it was, and what is wrong. erased: of how many
    acts the details are gone. expectedAt: the number of the act that has the expected link.
    """

    intact: bool
    acts: int
    link: str
    erased: int
    brokenAt: int | None
    fault: str | None
    expectedAt: int | None


Media = Literal["application/x-ndjson", "text/csv"]
