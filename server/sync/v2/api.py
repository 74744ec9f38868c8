"""The handlers of /api/v2/sync, as docs/sync-protocol.md describes them."""

from datetime import timedelta
from functools import partial
from typing import Any

from pydantic import BaseModel, Field

from server.kit.call import Answer, Call
from server.kit.problem import ProblemKind
from server.metrics.sync import SyncMetrics
from server.sync import queries
from server.sync.api import MOST_EVENTS, Follow, count_fates
from server.sync.push import Receipt, Source
from server.sync.receiving import Fate
from server.sync.v2.push import receive

UNKNOWN_SEQ = ProblemKind("sync.unknown-seq", 404, "The log has no event with this number.")

_GREATEST_SEQ = 2**53


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
    source = Source(call.caller.account, call.caller.device, call.at)
    received, head = await receive(call.db, call.body.events, source, tolerance, epoch=call.query.epoch)
    await follow(call.db, received.pushed, source)
    call.after_commit.append(partial(count_fates, metrics, received.fates))
    return Answer(
        {
            "epoch": head.epoch,
            "receipt": None if received.receipt is None else _receipt(received.receipt),
            "events": [_fate(fate) for fate in received.fates],
        }
    )


async def show_receipt(call: Call) -> ReceiptAnswer:
    """The receipt of the push that brought an event. Raises sync.unknown-seq."""
    given = call.path["seq"]
    is_number = given.isascii() and given.isdigit() and len(given) <= len(str(_GREATEST_SEQ))
    row = await queries.find_push(call.db, int(given)) if is_number else None
    if row is None:
        raise UNKNOWN_SEQ()
    return ReceiptAnswer(**_receipt(Receipt(**row)))


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
