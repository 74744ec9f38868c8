"""What every transaction of the pool is given."""

import pytest

from server.db import Database
from tests.conftest import Croft


@pytest.mark.parametrize(
    ("setting", "value"),
    [("plan_cache_mode", "force_custom_plan"), ("lock_timeout", "10s"), ("statement_timeout", "30s")],
)
async def test_transaction_has_its_limits_and_plans_for_the_tables_it_meets(
    croft: Croft, setting: str, value: str
) -> None:
    async with Database(croft.addresses.serving, size=1) as database:
        async with database.shared() as db:
            assert await db.fetchval("SELECT current_setting($1)", setting) == value
            assert await db.fetchval("SELECT current_setting('search_path')") == "croft, pg_temp"
        async with database.pool.acquire() as bare:
            assert await bare.fetchval("SELECT current_setting($1)", setting) != value
