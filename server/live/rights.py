"""Whether listeners may still listen: one statement for all of them, now and then."""

import asyncio
import logging
from collections.abc import Iterable
from uuid import UUID

import asyncpg

from server.auth.authentication import caller_from
from server.auth.queries import list_standings
from server.db import Database
from server.db.connection import Row
from server.live.hub import Hub
from server.roles.decision import is_allowed
from server.roles.permissions import Permission
from server.tenants.model import SUSPENDED

log = logging.getLogger(__name__)

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)


async def end_those_without_rights(hub: Hub, database: Database) -> None:
    """Ends whoever could not begin to listen now: session over, membership or tenant taken away, tenant suspended."""
    listeners = list(hub)
    if not listeners:
        return
    allowed = await _allowed(database, {(each.session_id, each.tenant_id) for each in listeners})
    for listener in listeners:
        if (listener.session_id, listener.tenant_id) not in allowed:
            hub.end(listener)


async def keep_ending_those_without_rights(hub: Hub, database: Database, *, seconds: float) -> None:
    """Does so every so many seconds until cancelled."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await end_those_without_rights(hub, database)
        except _FAILURES as error:
            log.warning("Whether live listeners may go on could not be looked up: %s", error)


async def _allowed(database: Database, asked: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
    pairs = list(asked)
    async with database.shared(readonly=True) as db:
        rows = await list_standings(db, [UUID(session) for session, _ in pairs], [tenant for _, tenant in pairs])
    return {(str(row["session_id"]), row["id"]) for row in rows if _may_listen(row)}


def _may_listen(row: Row) -> bool:
    caller = caller_from(row)
    is_open = caller.is_operator or row["state"] != SUSPENDED
    return is_open and not row["is_stale"] and is_allowed(caller, Permission.SYNC_PULL)
