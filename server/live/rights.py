"""Whether listeners may still listen: one statement for all sessions and one for all keys, now and then."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from server.auth.authentication import caller_from
from server.auth.queries import list_standings
from server.auth.service_accounts import caller_from_key
from server.auth.service_accounts.queries import list_key_standings
from server.db import Connection, Database
from server.db.connection import Row
from server.kit.call import Caller
from server.live.hub import Hub
from server.live.room import Listener
from server.roles.decision import is_allowed
from server.roles.permissions import Permission
from server.tenants.model import SUSPENDED

log = logging.getLogger(__name__)

_FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)

Standing = tuple[str, int]
"""A session or the shown part of a key, and a tenant's number. No session has the form of a key."""


@dataclass(frozen=True, slots=True)
class Rights:
    """Ends listeners that may listen no longer. `operators_need_second_factor`: as the installation asks."""

    hub: Hub
    database: Database
    operators_need_second_factor: bool = False

    async def keep_ending(self, *, seconds: float) -> None:
        """Does so every so many seconds until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await self.end_those_without()
            except _FAILURES as error:
                log.warning("Whether live listeners may go on could not be looked up: %s", error)

    async def end_those_without(self) -> None:
        """Ends whoever could not begin to listen now.

        His session or key is over, a membership or role was taken away, the tenant is suspended; or nobody can tell,
        since he came with something that is not stored. He may show it again.
        """
        listeners = list(self.hub)
        if not listeners:
            return
        allowed = await self._allowed(listeners)
        for listener in listeners:
            if _standing_of(listener) not in allowed:
                self.hub.end(listener)

    async def _allowed(self, listeners: Sequence[Listener]) -> set[Standing]:
        sessions = {_standing_of(each) for each in listeners if each.credential.session_id}
        keys = {_standing_of(each) for each in listeners if each.credential.api_key}
        async with self.database.shared(readonly=True) as db:
            return await self._of_sessions(db, sessions) | await _of_keys(db, keys)

    async def _of_sessions(self, db: Connection, asked: Collection[Standing]) -> set[Standing]:
        rows = await list_standings(db, [UUID(session) for session, _ in asked], [tenant for _, tenant in asked])
        return {(str(row["session_id"]), row["id"]) for row in rows if not row["is_stale"] and self._may_listen(row)}

    def _may_listen(self, row: Row) -> bool:
        return _is_open_to(
            caller_from(row, operators_need_second_factor=self.operators_need_second_factor), row["state"]
        )


async def _of_keys(db: Connection, asked: Collection[Standing]) -> set[Standing]:
    if not asked:
        return set()
    rows = await list_key_standings(db, [key for key, _ in asked], [tenant for _, tenant in asked])
    return {(row["prefix"], row["id"]) for row in rows if _is_open_to(caller_from_key(row), row["state"])}


def _is_open_to(caller: Caller, state: str) -> bool:
    is_open = caller.is_operator or state != SUSPENDED
    return is_open and is_allowed(caller, Permission.SYNC_PULL)


def _standing_of(listener: Listener) -> Standing:
    return listener.credential.session_id or listener.credential.api_key, listener.tenant_id
