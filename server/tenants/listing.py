"""A page of tenants, with exact counts of their entities."""

from collections.abc import Sequence
from dataclasses import dataclass

from server.db import Connection
from server.tenants import queries
from server.tenants.counting import EntityCounts, with_counts
from server.tenants.model import Tenant
from server.tenants.wire import BY_COUNT, ListMeta, PageQuery


@dataclass(frozen=True, slots=True)
class Page:
    """The tenants of a page, and where in the list it is."""

    tenants: list[Tenant]
    meta: ListMeta


async def prepare_order(counts: EntityCounts, sort_by: str) -> None:
    """Notes what the order goes by. Called while no connection is held, because it takes one."""
    if sort_by == BY_COUNT:
        await counts.flush()


async def page_of_tenants(
    db: Connection,
    counts: EntityCounts,
    wanted: PageQuery,
    sort_by: str,
    states: Sequence[str],
    member: int | None = None,
    only: int | None = None,
) -> Page:
    """The wanted page, or the last one where there are fewer.

    `member`: only tenants that this account is in. `only`: the tenant with this number and no other.
    """
    total = await queries.count_tenants(db, states, member, wanted.search, only=only)
    pages = max(1, -(-total // wanted.pageSize))
    number = min(wanted.page, pages)
    tenants = await queries.list_tenants(
        db,
        states,
        member,
        wanted.search,
        sort_by=sort_by,
        descending=wanted.sortOrder == "desc",
        limit=wanted.pageSize,
        offset=(number - 1) * wanted.pageSize,
        only=only,
    )
    meta = ListMeta(
        total=total,
        page=number,
        pageSize=wanted.pageSize,
        totalPages=pages,
        sortBy=sort_by,
        sortOrder=wanted.sortOrder,
        search=wanted.search,
    )
    counted = await with_counts(db, tenants)
    for before, after in zip(tenants, counted, strict=True):
        if before != after:  # written by a process that ended before it could note the number
            counts.mark(after)
    return Page(counted, meta)
