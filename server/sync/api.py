"""Push and pull as installed phones know them, their audit logs, and the quarantine."""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from server.db import Connection
from server.db.connection import Row
from server.db.scope import seeing_everything
from server.kit.call import Answer, Call
from server.kit.clock import iso_ms
from server.kit.numbers import whole_number
from server.kit.problem import FieldError, ProblemKind
from server.metrics.sync import SyncMetrics
from server.sync import audit_log, queries
from server.sync.old_clients.feed import pull as pull_page
from server.sync.old_clients.receive import receive
from server.sync.push import Follow, Source
from server.sync.receiving import Fate

BAD_SINCE = ProblemKind("sync.bad-since", 400, "since has to be empty or a time that an earlier answer held.")

NO_ADAPTER = ProblemKind("sync.no-adapter", 502, "No adapter for this outside system is installed on this server.")

UNKNOWN_ENTRY = ProblemKind("sync.unknown-entry", 404, "The quarantine has no entry with this id.")

MOST_EVENTS = 10_000
_LISTED_RAW = 2_000
_GREATEST_ID = 2**53

Gate = Callable[[Connection, datetime], Awaitable[str | None]]
"""Says why nothing may be pulled at this time, if so."""


class PushBody(BaseModel):
    """What a phone pushes. `events` are read one by one, so that a bad one does not hold up the others."""

    events: list[Any] = Field(max_length=MOST_EVENTS)
    configId: str | None = None


class EventFate(BaseModel):
    """What became of one event. `code` is stable, `path` the bad place inside the event."""

    guid: str
    status: str
    code: str = ""
    path: str = ""
    detail: str = ""


class PushAnswer(BaseModel):
    """`events` in the order in which they were pushed."""

    status: str
    events: list[EventFate]


class SinceQuery(BaseModel):
    """Where to go on."""

    since: str = ""


class PullAnswer(BaseModel):
    """A page. `nextCursor` goes into the next request as `since`; null at the end."""

    events: list[dict[str, Any]]
    nextCursor: str | None
    error: str | None = None


class AuditLogsBody(BaseModel):
    """What a phone reports that it did."""

    auditLogs: list[Any] = Field(max_length=MOST_EVENTS)
    configId: str | None = None


class AuditLogEntry(BaseModel):
    """One change that a phone made."""

    guid: str
    timestamp: str
    userId: str
    action: str
    eventGuid: str
    entityGuid: str
    changes: Any
    signature: str


class StatusAnswer(BaseModel):
    """It worked."""

    status: str = "success"


class ExternalSyncBody(BaseModel):
    """credentials are those of the outside system, where its settings hold none."""

    configId: str | None = None
    credentials: dict[str, Any] | None = None


class QuarantineQuery(BaseModel):
    """The newest first; `before` is the id of the last entry seen. `limit` is 100 where none is given, 1000 at most."""

    before: Annotated[int, AfterValidator(lambda given: min(max(given, 0), _GREATEST_ID))] = _GREATEST_ID
    limit: Annotated[int, AfterValidator(lambda given: min(max(given, 1), 1000))] = 100


class QuarantinedEvent(BaseModel):
    """Something pushed that is no event: why, and its own words.

    A list cuts `raw` to 2000 characters; `rawLength` is how many bytes the whole has in UTF-8.
    """

    id: int
    guid: str
    code: str
    path: str
    detail: str
    raw: str
    rawLength: int
    account: str
    deviceId: str
    receivedAt: str


async def push(call: Call, *, tolerance: timedelta, follow: Follow, metrics: SyncMetrics) -> Answer:
    """Takes events. The status tells whether the push arrived; the fate of each event stands beside it."""
    body: PushBody = call.body
    source = Source(call.caller.account, call.caller.device, call.at)
    received = await receive(call.db, body.events, source, tolerance, call.sight)
    await follow(call.db, received.pushed, source)
    call.after_commit.append(partial(count_fates, metrics, received.fates))
    return Answer({"status": "success", "events": [_told(fate) for fate in received.fates]})


def count_fates(metrics: SyncMetrics, fates: Iterable[Fate]) -> None:
    """Counts a push and what became of its events."""
    number = Counter(fate.status for fate in fates)
    metrics.pushed(
        accepted=number["accepted"] + number["without-effect"],
        known=number["known"],
        waiting=number["waiting"],
        quarantined=number["quarantined"],
    )


def _told(fate: Fate) -> dict[str, str]:
    return {
        "guid": fate.guid,
        "status": fate.status,
        "code": fate.code,
        "path": fate.path,
        "detail": fate.detail,
    }


async def pull(call: Call, *, gate: Gate) -> Answer:
    """The next page for a phone."""
    async with seeing_everything(call.db, call.sight):
        error = await gate(call.db, call.at)
    if error:
        return Answer({"events": [], "nextCursor": None, "error": error})
    source = Source(call.caller.account, call.caller.device, call.at)
    try:
        served = await pull_page(call.db, call.query.since, source)
    except ValueError:
        raise BAD_SINCE(errors=[FieldError("since", "is no time in ISO 8601")]) from None
    return Answer({"events": served.events, "nextCursor": served.next_cursor})


async def push_audit_logs(call: Call) -> StatusAnswer:
    """Keeps what a phone reports, as the caller's: whatever user it claims, the account is written over it.

    Also of records that are not there yet, or that are hidden from the caller: nothing that was sent is lost.
    """
    await audit_log.receive(call.db, call.body.auditLogs, Source(call.caller.account, call.caller.device, call.at))
    return StatusAnswer()


async def pull_audit_logs(call: Call) -> list[dict[str, Any]]:
    """What was reported since, oldest first."""
    try:
        return await audit_log.list_since(call.db, call.query.since, call.at)
    except ValueError:
        raise BAD_SINCE(errors=[FieldError("since", "is no time in ISO 8601")]) from None


async def start_external_sync(call: Call) -> StatusAnswer:
    """No adapter is part of this server yet: says so in a way that no caller can take for success."""
    raise NO_ADAPTER()


async def list_quarantine(call: Call) -> list[QuarantinedEvent]:
    """What could not be taken as an event, the newest first, with the beginning of its own words."""
    rows = await queries.list_quarantine(call.db, call.query.before, call.query.limit, _LISTED_RAW)
    return [_quarantined(row) for row in rows]


async def show_quarantined(call: Call) -> QuarantinedEvent:
    """One entry with all of its own words."""
    number = whole_number(call.path["entry"], _GREATEST_ID)
    row = None if number is None else await queries.find_quarantined(call.db, number)
    if row is None:
        raise UNKNOWN_ENTRY()
    return _quarantined(row)


def _quarantined(row: Row) -> QuarantinedEvent:
    return QuarantinedEvent(
        id=row["id"],
        guid=row["guid"],
        code=row["code"],
        path=row["path"],
        detail=row["detail"],
        raw=row["raw"],
        rawLength=row["raw_length"],
        account=row["account"],
        deviceId=row["device_id"],
        receivedAt=iso_ms(row["received_at"]),
    )
