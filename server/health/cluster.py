"""Whether the database is still the one it was at the last start, or was restored, failed over or moved since.

In another database the numbers of the event logs may have been given out before, for other events. Devices must not go
on from a number that they have, so every tenant then begins a new epoch.
"""

import logging
from collections.abc import Awaitable, Callable

import asyncpg

from server.db import Connection, Database, Scope
from server.health.queries import cluster_identity, list_scopes, lock_stored_cluster, store_cluster

log = logging.getLogger(__name__)

BeginEpoch = Callable[[Connection], Awaitable[None]]
"""Begins a new epoch in the tenant in whose scope the connection is."""


async def check_cluster(database: Database, begin_epoch: BeginEpoch) -> bool:
    """Begins new epochs if the database is another one than at the last start; answers whether it is.

    Needs two connections. Waits for another process that does the same. The new identity is noted once all tenants have
    their epoch: a start that is broken off does it all again, which costs devices another whole pull and no data.
    """
    identity = await _identity(database)
    if identity is None:
        return False
    async with database.shared() as db:
        stored = await lock_stored_cluster(db)
        if stored == identity:
            return False
        if stored is None or await _begin_epochs(database, await list_scopes(db), begin_epoch):
            await store_cluster(db, identity)
    if stored is not None:
        log.warning("The database is not the one of the last start: every tenant begins a new epoch.")
    return stored is not None


async def _identity(database: Database) -> str | None:
    try:
        async with database.shared(readonly=True) as db:
            return await cluster_identity(db)
    except (asyncpg.InsufficientPrivilegeError, asyncpg.UndefinedFunctionError) as error:
        log.warning(
            "Whether the database was restored or moved cannot be told (%s). After a restore, begin a new epoch of "
            "every tenant yourself.",
            error.args[0],
        )
        return None


async def _begin_epochs(database: Database, tenants: list[tuple[str, Scope]], begin_epoch: BeginEpoch) -> bool:
    complete = True
    for config_id, scope in tenants:
        try:
            async with database.inside(scope) as db:
                await begin_epoch(db)
        except asyncpg.PostgresError:
            log.exception("No new epoch for tenant %s; the next start tries again for all.", config_id)
            complete = False
    return complete
