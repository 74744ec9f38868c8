"""What PostgreSQL plans for a statement of the server's."""

from typing import Any

from server.db import Connection


class Explaining:
    """Takes the place of a connection: what is asked is explained and run, and the plan kept."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.plan = ""

    async def execute(self, sql: str) -> str:
        return await self._db.execute(sql)

    async def fetch(self, sql: str, *values: Any) -> Any:
        rows = await self._db.fetch(f"EXPLAIN ANALYZE {sql}", *values)
        self.plan = "\n".join(row[0] for row in rows)
        return await self._db.fetch(sql, *values)

    async def fetchval(self, sql: str, *values: Any) -> Any:
        return (await self.fetch(sql, *values))[0][0]
