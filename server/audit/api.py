"""The endpoints of the logs of acts: a tenant's own for its administrators, the operators' for operators."""

from functools import partial
from typing import Any

from server.audit import queries
from server.audit.acts import author_of, record_for_operators, record_inside
from server.audit.chain import Verdict, verify
from server.audit.export import CSV, act_of, media_of, pieces
from server.audit.model import ActsQuery, OperatorsQuery, Verified
from server.audit.queries import Log, Wanted
from server.db import Connection, Database
from server.kit.call import Call, Streamed

_BEYOND_ALL = 2**63 - 1


async def list_acts(call: Call) -> dict[str, Any]:
    """A page of the tenant's log, the newest act first."""
    return await _page(call.db, "tenant", call.query, None)


async def list_all_acts(call: Call) -> dict[str, Any]:
    """A page of the operators' log, the newest act first."""
    query: OperatorsQuery = call.query
    return await _page(call.db, "operators", query, query.tenant)


async def verify_acts(call: Call) -> Verified:
    """Whether the tenant's log is what was recorded."""
    return _verified(await verify(call.reading, "tenant", expect=_link(call.query.expect)))


async def verify_all_acts(call: Call, *, database: Database) -> Verified:
    """Whether the operators' log is what was recorded."""
    reading = partial(database.shared, readonly=True)
    return _verified(await verify(reading, "operators", expect=_link(call.query.expect)))


async def export_acts(call: Call) -> Streamed:
    """The tenant's whole log, the oldest act first. Is on the record itself, as the last line."""
    media = media_of(call.headers.get("accept", ""))
    async with call.writing() as db:
        await record_inside(db, author_of(call), "audit.exported", "audit", details={"format": media})
    return _download(pieces(call.reading, "tenant", media), media, f"acts-{call.tenant.config_id}")


async def export_all_acts(call: Call, *, database: Database) -> Streamed:
    """The operators' whole log, the oldest act first. Is on the record itself, as the last line."""
    media = media_of(call.headers.get("accept", ""))
    async with database.shared() as db:
        await record_for_operators(db, author_of(call), "audit.exported", "audit", details={"format": media})
    return _download(pieces(partial(database.shared, readonly=True), "operators", media), media, "acts")


async def _page(db: Connection, log: Log, query: ActsQuery, tenant_id: int | None) -> dict[str, Any]:
    wanted = Wanted(
        before=query.before or _BEYOND_ALL,
        actor=query.actor,
        action=query.action,
        subject=query.subject,
        since=query.since,
        until=query.until,
        tenant_id=tenant_id,
    )
    rows = await queries.list_acts(db, log, wanted, query.limit + 1)
    shown = rows[: query.limit]
    return {"acts": [act_of(row) for row in shown], "next": shown[-1]["id"] if len(rows) > len(shown) else None}


def _verified(verdict: Verdict) -> Verified:
    return Verified(
        intact=verdict.fault is None,
        acts=verdict.acts,
        link=verdict.link.hex(),
        erased=verdict.erased,
        brokenAt=verdict.broken_at,
        fault=verdict.fault,
        expectedAt=verdict.expected,
    )


def _link(given: str | None) -> bytes | None:
    return None if given is None else bytes.fromhex(given)


def _download(content: Any, media: str, name: str) -> Streamed:
    ending = "csv" if media == CSV else "ndjson"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{ending}"',
        "Cache-Control": "no-store",
        "Vary": "Accept",
    }
    return Streamed(content, media_type=media, headers=headers)
