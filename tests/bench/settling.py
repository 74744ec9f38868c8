"""What Croft still does after its answers: it counts as part of a push, because the floor does it at once."""

import asyncio
from collections.abc import Iterable
from typing import Final

from server.db import Scope
from server.db.scope import quoted
from tests.bench.connection import Connection, connect

_PAUSE: Final = 0.005
_PATIENCE: Final = 300.0


class Settling:
    """Waits until nothing is left to be done behind the logs of some tenants; asks the database at `superuser_dsn`."""

    def __init__(self, superuser_dsn: str) -> None:
        self._dsn = superuser_dsn
        self._db: Connection | None = None

    async def connect(self) -> None:
        """Connects, where it is not."""
        if self._db is None:
            self._db = await connect(self._dsn)

    async def wait(self, scopes: Iterable[Scope]) -> None:
        """Returns once pairs have been looked for up to the head of each log."""
        async with asyncio.timeout(_PATIENCE):
            for scope in scopes:
                while not await self._is_settled(scope):  # noqa: ASYNC110 - it is the database that is asked
                    await asyncio.sleep(_PAUSE)

    async def close(self) -> None:
        """Closes the connection."""
        if self._db is not None:
            await self._db.close()

    async def _is_settled(self, scope: Scope) -> bool:
        assert self._db is not None
        schema = quoted(scope.schema)
        return bool(
            await self._db.fetchval(
                f"SELECT (SELECT seq FROM {schema}.duplicates_progress) >= (SELECT head FROM {schema}.sync_head)"
            )
        )
