"""The connections to the database."""

from collections.abc import Sequence

from server.db import Database
from server.metrics.gauges import Gauges


def gauge_pools(gauges: Gauges, databases: Sequence[Database]) -> None:
    """Gauges of the pools' limit, their open connections, those in use, and requests that wait for one.

    All the pools together; they must be open whenever they are observed.
    """

    def limit() -> int:
        return sum(database.pool.get_max_size() for database in databases)

    def size() -> int:
        return sum(database.pool.get_size() for database in databases)

    def in_use() -> int:
        return size() - sum(database.pool.get_idle_size() for database in databases)

    def waiting() -> int:
        return sum(database.waiting for database in databases)

    gauges.add("croft_pool_limit", "Most connections the pool opens.", limit)
    gauges.add("croft_pool_size", "Connections open in the pool.", size)
    gauges.add("croft_pool_in_use", "Connections of the pool that serve a request.", in_use)
    gauges.add("croft_pool_waiting", "Transactions that wait for a connection.", waiting)
