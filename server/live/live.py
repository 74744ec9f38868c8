"""What a process needs for live listeners, put together."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from server.db import Database, Scope
from server.db.listening import Listening
from server.live.hub import Hub, Pace
from server.live.notices import CHANNEL, notices_in
from server.live.notifier import Notifier
from server.live.rights import Rights
from server.sync.v2.cursor import Head, find_head

log = logging.getLogger(__name__)

_READ_SECONDS = 5.0
_AFTER_A_FAULT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: between two looks at listeners' rights, and between two proofs that others are heard."""

    pace: Pace = field(default_factory=Pace)
    rights: float = 60.0
    keepalive: float = 15.0


class Live:
    """The hub of a process and all that feeds it. `direct` is the address of the database past any PgBouncer."""

    def __init__(
        self,
        database: Database,
        direct: str,
        timing: Timing | None = None,
        *,
        operators_need_second_factor: bool = False,
    ) -> None:
        self._database = database
        self._timing = timing or Timing()
        self.hub = Hub(self._read, self._timing.pace)
        self._rights = Rights(self.hub, database, operators_need_second_factor)
        listening = Listening(
            direct,
            CHANNEL,
            heard=self._hear,
            connected=self.hub.look_again,
            keepalive_seconds=self._timing.keepalive,
        )
        self.notifier = Notifier(self.hub.tell, listening.say)
        self._works: list[Callable[[], Awaitable[None]]] = [
            listening.run,
            self.notifier.run,
            self.hub.waking,
            self.hub.beating,
            self.hub.answering,
            self.hub.looking,
            self._check_rights,
        ]

    async def run(self) -> None:
        """Runs until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for work in self._works:
                tasks.create_task(_kept_up(work))

    async def _read(self, scope: Scope) -> Head:
        async with self._database.inside(scope, readonly=True, patience=_READ_SECONDS) as db:
            return await find_head(db)

    def _hear(self, payload: str) -> None:
        for tenant_id, head in notices_in(payload):
            self.hub.tell(tenant_id, head)

    async def _check_rights(self) -> None:
        await self._rights.keep_ending(seconds=self._timing.rights)


async def _kept_up(work: Callable[[], Awaitable[None]]) -> None:
    """Goes on with the work after a fault in it: one of a kind that nobody thought of must not deafen everybody."""
    while True:
        try:
            await work()
        except Exception:  # whatever it is, it is told with its traceback
            log.exception("A task of the live listeners failed and goes on.")
        await asyncio.sleep(_AFTER_A_FAULT_SECONDS)
