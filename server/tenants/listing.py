"""A page of tenants, with exact counts of their entities."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.db import Connection, scoped
from server.db.migrations import tenant_migrations
from server.tenants import queries
from server.tenants.model import Tenant
from server.tenants.wire import ListMeta, PageQuery


@dataclass(frozen=True, slots=True)
class Page:
    """The tenants of a page, and where in the list it is."""

    tenants: list[Tenant]
    meta: ListMeta


async def page_of_tenants(
    db: Connection, wanted: PageQuery, sort_by: str, states: Sequence[str], member: int | None = None
) -> Page:
    """The wanted page, or the last one where there are fewer. `member`: only tenants that this account is in."""
    total = await queries.count_tenants(db, states, member, wanted.search)
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
    return Page(await _counted(db, tenants), meta)


async def _counted(db: Connection, tenants: list[Tenant]) -> list[Tenant]:
    """The tenants with what their own schemas say of their entities. The next sort by it goes by what is found here.

    A tenant whose schema is behind is passed over: its tables may just be locked by its migration.
    """
    counts: dict[int, int] = {}
    for tenant in tenants:
        if tenant.schema_version == tenant_migrations()[-1].id:
            async with scoped(db, tenant.scope):
                counts[tenant.id] = await queries.count_entities(db)
    await queries.store_entities_counts(db, counts)
    return [replace(tenant, entities_count=counts.get(tenant.id, tenant.entities_count)) for tenant in tenants]
