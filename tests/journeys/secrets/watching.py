"""Everything that a server gives away while it runs: its answers, its log, what is in its database."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import httpx

from server.db.scope import quoted
from tests.journeys.secrets.planted import Planted


@dataclass
class Seen:
    """An answer as it came, and the one secret or two that it was meant to show."""

    place: str
    raw: bytes
    meant_to_show: set[str] = field(default_factory=set)


@dataclass
class Watcher:
    """Keeps every answer. `take` is for what is shown once."""

    planted: Planted
    seen: list[Seen] = field(default_factory=list)
    _clients: list[httpx.AsyncClient] = field(default_factory=list)

    def client(self, url: str, **headers: str) -> httpx.AsyncClient:
        """A client whose answers are kept."""
        client = httpx.AsyncClient(base_url=url, headers=headers, timeout=60, event_hooks={"response": [self._keep]})
        self._clients.append(client)
        return client

    async def aclose(self) -> None:
        """Closes the clients."""
        for client in self._clients:
            await client.aclose()

    async def _keep(self, answer: httpx.Response) -> None:
        await answer.aread()
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
        place = f"{answer.request.method} {answer.request.url.path} {answer.status_code}"
        seen = Seen(place, f"{place}\n{head}\n".encode() + answer.content)
        self.seen.append(seen)
        answer.extensions["seen"] = seen

    def take(self, answer: httpx.Response, what: str, text: str) -> str:
        """Plants a secret that this answer was meant to show, and no other."""
        before = set(self.planted.known)
        self.planted.plant(what, text)
        answer.extensions["seen"].meant_to_show.update(set(self.planted.known) - before)
        return text

    def given_away(self) -> dict[str, list[str]]:
        """The secrets in answers that were not meant to show them, by the answer."""
        found: dict[str, list[str]] = {}
        for seen in self.seen:
            if shown := set(self.planted.found_in(seen.raw)) - seen.meant_to_show:
                found.setdefault(seen.place, []).extend(sorted(shown))
        return found


async def rows_of_everything(superuser_dsn: str) -> AsyncIterator[tuple[str, str]]:
    """Every row of every table of every schema as text, with the name of its table; and the statements last run."""
    db = await asyncpg.connect(superuser_dsn)
    try:
        tables = await db.fetch(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'm') AND n.nspname NOT IN ('pg_catalog', 'pg_toast', 'information_schema')"
        )
        for table in tables:
            name = f"{quoted(table['nspname'])}.{quoted(table['relname'])}"
            for row in await db.fetch(f"SELECT t::text AS row FROM ONLY {name} t"):
                yield f"{table['nspname']}.{table['relname']}", row["row"]
        for row in await db.fetch("SELECT query FROM pg_stat_activity WHERE query <> ''"):
            yield "pg_stat_activity", row["query"]
    finally:
        await db.close()


async def found_in_rows(superuser_dsn: str, planted: Planted) -> dict[str, list[str]]:
    """The secrets in the tables of a database, by the table."""
    texts: dict[str, list[str]] = {}
    async for table, row in rows_of_everything(superuser_dsn):
        texts.setdefault(table, []).append(row)
    found = {table: planted.found_in("\n".join(rows)) for table, rows in texts.items()}
    return {table: names for table, names in found.items() if names}
