"""The handlers of /api/v2/sync, as docs/sync-protocol.md describes them."""

from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import BaseModel, Field

from server.kit.call import Answer, Call, Streamed
from server.kit.numbers import whole_number
from server.kit.problem import ProblemKind
from server.metrics.sync import SyncMetrics
from server.sync import queries
from server.sync.api import MOST_EVENTS, count_fates
from server.sync.push import Follow, Receipt, Source
from server.sync.receiving import Fate
from server.sync.v2 import pull as pulling
from server.sync.v2 import snapshot as snapshots
from server.sync.v2.cursor import Head, read_cursor
from server.sync.v2.device import device_of
from server.sync.v2.lines import one_ahead
from server.sync.v2.model import PullQuery, SnapshotQuery
from server.sync.v2.negotiation import NDJSON, prefers, tag_of
from server.sync.v2.pull import Puller
from server.sync.v2.push import receive
from server.sync.v2.queries import Wanted

UNKNOWN_SEQ = ProblemKind("sync.unknown-seq", 404, "The log has no event with this number.")

_GREATEST_SEQ = 2**53
_EVENTS_A_PAGE = 1000


class EpochQuery(BaseModel):
    """`epoch` is the one that the device knows; empty while it knows none."""

    epoch: str = ""


class EventsBody(BaseModel):
    """`events` are read one by one, so that a bad one does not hold up the others."""

    events: list[Any] = Field(max_length=MOST_EVENTS)


class ReceiptAnswer(BaseModel):
    """What proves that a push was taken; `hash` and `previous` in hexadecimal."""

    epoch: str
    first: int
    last: int
    hash: str
    previous: str


class FateAnswer(BaseModel):
    """What became of one event; `seq` is its number in the log."""

    guid: str
    status: str
    seq: int | None = None
    code: str | None = None
    path: str | None = None
    detail: str | None = None


class TakenAnswer(BaseModel):
    """`events` in the order in which they were pushed; `receipt` is null where nothing was new."""

    epoch: str
    receipt: ReceiptAnswer | None
    events: list[FateAnswer]


async def push(call: Call, *, tolerance: timedelta, follow: Follow, metrics: SyncMetrics) -> Answer:
    """Takes events as a whole or, where anything fails, not at all."""
    source = Source(call.caller.account, device_of(call.caller), call.at)
    received, head = await receive(
        call.db, call.body.events, source, tolerance, epoch=call.query.epoch, sight=call.sight
    )
    await follow(call.db, received.pushed, source)
    call.after_commit.append(partial(count_fates, metrics, received.fates))
    return Answer(
        {
            "epoch": received.receipt.epoch if received.receipt else head.epoch,
            "receipt": None if received.receipt is None else _receipt(received.receipt),
            "events": [_fate(fate) for fate in received.fates],
        }
    )


async def show_receipt(call: Call) -> ReceiptAnswer:
    """The receipt of the push that brought an event. Raises sync.unknown-seq."""
    number = whole_number(call.path["seq"], _GREATEST_SEQ)
    row = None if number is None else await queries.find_push(call.db, number)
    if row is None:
        raise UNKNOWN_SEQ()
    return ReceiptAnswer(**_receipt(Receipt(**row)))


async def pull(call: Call) -> Answer | Streamed:
    """The log from the cursor on: a page, or as many lines as there are for who accepts NDJSON.

    304 where nothing is new since an answer with one of the tags named. Raises sync.epoch-changed and sync.bad-cursor.
    """
    query: PullQuery = call.query
    puller = _puller(call, query)
    epoch, after = read_cursor(query.cursor)
    is_streamed = prefers(call.headers.get("accept", ""), NDJSON)
    if is_streamed:
        span = pulling.step_span(puller.wanted, epoch, after, query.limit)
    else:
        span = pulling.page_span(puller.wanted, epoch, after, query.limit or _EVENTS_A_PAGE)
    if (known := call.headers.get("if-none-match", "")) and (head := await puller.unchanged(span, known)):
        return Answer(b"", status=304, headers=_headers(head))
    async with call.reading() as db:
        part = await pulling.read_part(db, puller.wanted, span, call.at)
    headers = _headers(part.head)
    if is_streamed:
        return Streamed(one_ahead(puller.stream(part, query.limit)), headers=headers)
    await puller.note(part, is_last=not part.more)
    return Answer(pulling.page_of(part, puller.wanted), headers=headers)


async def snapshot(call: Call) -> Streamed:
    """Every live entity, as lines. Raises sync.epoch-changed and sync.bad-cursor."""
    query: SnapshotQuery = call.query
    puller = _puller(call, PullQuery())
    async with call.reading() as db:
        progress, total = await snapshots.begin(db, query.form, query.resume)
    return Streamed(one_ahead(snapshots.stream(puller, progress, total)))


def _puller(call: Call, query: PullQuery) -> Puller:
    wanted = Wanted(
        account=call.caller.account,
        device_id=device_of(call.caller),
        events="events" in query.kinds,
        entities="entities" in query.kinds,
        form=query.form,
        entity=query.entity,
        others=query.others,
    )
    return Puller(wanted, call.at, call.reading, call.writing)


def _headers(head: Head) -> dict[str, str]:
    return {"ETag": tag_of(head), "Vary": "Accept"}


def _receipt(receipt: Receipt) -> dict[str, Any]:
    return {
        "epoch": receipt.epoch,
        "first": receipt.first,
        "last": receipt.last,
        "hash": receipt.link.hex(),
        "previous": receipt.previous.hex(),
    }


def _fate(fate: Fate) -> dict[str, Any]:
    told: dict[str, Any] = {"guid": fate.guid, "status": fate.status}
    if fate.seq is not None:
        told["seq"] = fate.seq
    if fate.code:
        told |= {"code": fate.code, "path": fate.path, "detail": fate.detail}
    return told
