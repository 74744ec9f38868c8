"""GET /api/v2/sync/live: server-sent events that say that there is more, never what."""

from collections.abc import AsyncIterator
from dataclasses import replace

from pydantic import BaseModel, Field

from server.kit.call import Call, Streamed
from server.kit.sight import Sight
from server.live.hub import Hub
from server.live.room import Credential, Listener
from server.sync.v2.cursor import Head, seq_of
from server.sync.v2.device import device_of

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_RETRY = b"retry: 3000\n\n"
_STILL_HERE = b": still here\n\n"


class LiveQuery(BaseModel):
    """`cursor` is what the last answer gave; the header Last-Event-ID goes before it. Without either, all is news."""

    cursor: str = Field("", max_length=100)


async def listen(call: Call, *, hub: Hub) -> Streamed:
    """Tells of the head whenever it has moved.

    Raises `sync.device-missing`, `sync.bad-cursor`, `sync.epoch-changed` and `live.too-many`.
    """
    device_of(call.caller)
    caller = call.caller
    credential = Credential(caller.account, caller.session_id, caller.api_key)
    listener, head = await hub.listen(call.tenant.id, call.tenant.scope, credential)
    # A browser that connects again repeats the address of its first request and adds how far it has come since.
    if cursor := call.headers.get("last-event-id") or call.query.cursor:
        seen = _as_seen(head, call.sight)
        listener.told = replace(head, seq=seq_of(cursor, seen))
    return Streamed(_events(listener, call.sight), "text/event-stream", _HEADERS)


def _as_seen(head: Head, sight: Sight) -> Head:
    """The head by the name under which who sees only so much of the log knows it."""
    return replace(head, epoch=head.epoch + sight.mark)


async def _events(listener: Listener, sight: Sight) -> AsyncIterator[bytes]:
    known = listener.told
    try:
        yield _RETRY
        async for head in listener:
            if head is None:
                yield _STILL_HERE
            elif known is None or head.epoch == known.epoch:
                yield _head_event(_as_seen(head, sight))
            else:
                yield _epoch_event(_as_seen(head, sight))
            known = head or known
    finally:
        listener.leave()


def _head_event(head: Head) -> bytes:
    cursor = head.cursor_at(head.seq)
    return f'id: {cursor}\nevent: head\ndata: {{"cursor": "{cursor}"}}\n\n'.encode()


def _epoch_event(head: Head) -> bytes:
    return f'id: {head.cursor_at(head.seq)}\nevent: epoch\ndata: {{"epoch": "{head.epoch}"}}\n\n'.encode()
