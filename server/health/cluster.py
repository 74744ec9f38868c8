"""Whether the database is still the one it was at the last start, or was restored, failed over or moved since.

In another database the numbers of the event logs may have been given out before, for other events. Devices must not go
on from a number that they have, so every tenant then begins a new epoch.
"""

import logging
from collections.abc import Awaitable, Callable

from server.db import Connection, Database
from server.health.queries import cluster_identity, find_stored_cluster, list_scopes, store_cluster

log = logging.getLogger(__name__)

Follow = Callable[[Connection, str, str | None], Awaitable[bool]]
"""Takes the tenant in whose scope the connection is into the present cluster: the second argument.

Begins a new epoch, and answers True, where the tenant was in another one; the third argument is the cluster of a tenant
that has none noted. Once a tenant has followed, following again does nothing, also at the same time.
"""


async def check_cluster(database: Database, follow: Follow) -> list[str]:
    """Lets every tenant follow if the database is another one than at the last start.

    Answers the config ids of the tenants that began a new epoch. Each is followed in a transaction of its own; one that
    fails is named in the log and tried again at the next start, and the others are left alone then.
    """
    async with database.shared(readonly=True) as db:
        present, stored = await cluster_identity(db), await find_stored_cluster(db)
        tenants = await list_scopes(db)
    if present is None:
        log.warning(
            "Whether the database was restored or moved cannot be told: its login may not ask. After a restore, run "
            "`croft tenants new-epoch --all`."
        )
        return []
    if present == stored:
        return []
    began: list[str] = []
    failed: list[str] = []
    for config_id, scope in tenants:
        try:
            async with database.inside(scope) as db:
                begins = await follow(db, present, stored)
        except Exception:  # whatever is wrong with one tenant, the others are to be served
            log.exception("No new epoch for tenant %s; the next start tries again.", config_id)
            failed.append(config_id)
        else:
            began += [config_id] if begins else []
    if began:
        log.warning("The database is not the one of the last start: %d tenants begin a new epoch.", len(began))
    if not failed:
        async with database.shared() as db:
            await store_cluster(db, present)
    return began
