"""Whatever happens to devices of all kinds and to their network, everybody ends at what the log says.

Plans are drawn from seeds. CROFT_STEPS is how many steps are taken in all, CROFT_SEED the seed to begin with. A plan
that fails is shortened for CROFT_SHORTENING seconds and told; CROFT_PLAN plays one that was told. Steps at which
several devices talk to the server at the same moment may go otherwise the next time.
"""

import asyncio
import os
import traceback
from itertools import count
from pathlib import Path

import pytest

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft
from tests.journeys.convergence.judging import judge
from tests.journeys.convergence.plan import Plan, shortened
from tests.journeys.convergence.server_side import ServerSide
from tests.journeys.convergence.world import World

STEPS = int(os.environ.get("CROFT_STEPS", "2000"))
SEED = int(os.environ.get("CROFT_SEED", "1"))
SHORTENING = float(os.environ.get("CROFT_SHORTENING", "60"))
PLAN = os.environ.get("CROFT_PLAN", "")

STEPS_A_PLAN = 200

_homes = count(1)


class Stage:
    """Plays plans, each in a tenant of its own."""

    def __init__(self, croft: Croft, superuser_dsn: str, home: Path) -> None:
        self._croft = croft
        self._superuser_dsn = superuser_dsn
        self._home = home
        self._loop = asyncio.get_running_loop()

    def play(self, plan: Plan) -> None:
        """In a thread. Raises what comes out wrong."""
        world = asyncio.run_coroutine_threadsafe(self._world(plan), self._loop).result(60)
        try:
            world.play()
            judge(world)
        finally:
            world.end()

    def fails_at(self, place: tuple[str, int], plan: Plan) -> bool:
        """Whether the plan fails, and does so at this place."""
        try:
            self.play(plan)
        except Exception as other:  # noqa: BLE001 - whatever it is, the plan fails
            return place_of(other) == place
        return False

    async def _world(self, plan: Plan) -> World:
        handle = await self._croft.tenant({"customEventTypes": ["visit"]} if plan.page % 2 else None)
        server = await ServerSide.of(self._croft, handle.config_id, self._superuser_dsn)
        home = self._home / str(next(_homes))
        home.mkdir()
        emails = [await handle.account() for _ in range(3)]
        return World(plan, handle, server, emails, home, self._loop)


def place_of(failure: Exception) -> tuple[str, int]:
    """The line of the tests or of the server at which it was raised."""
    frame = traceback.extract_tb(failure.__traceback__)[-1]
    return frame.filename, frame.lineno or 0


@pytest.fixture
async def stage(croft: Croft, cluster: EmbeddedPostgres, tmp_path: Path) -> Stage:
    database = croft.addresses.serving.rsplit("/", 1)[-1].split("?")[0]
    return Stage(croft, cluster.superuser_dsn(database), tmp_path)


def play_and_shorten(stage: Stage, plan: Plan) -> None:
    try:
        stage.play(plan)
    except Exception as failure:
        place = place_of(failure)
        shorter = shortened(plan, lambda less: stage.fails_at(place, less), seconds=SHORTENING)
        failure.add_note(f"It takes {len(shorter.steps)} steps; play them again with\nCROFT_PLAN='{shorter}'")
        raise


def plans() -> dict[str, Plan]:
    """The one that was given, or those of as many seeds as it takes."""
    if PLAN:
        return {"as told": Plan.read(PLAN)}
    seeds = range(SEED, SEED + max(1, STEPS // STEPS_A_PLAN))
    return {f"seed {seed}": Plan.drawn(seed, STEPS_A_PLAN) for seed in seeds}


@pytest.mark.parametrize("plan", list(plans().values()), ids=list(plans()))
async def test_everybody_ends_at_what_the_log_says(stage: Stage, plan: Plan) -> None:
    await asyncio.to_thread(play_and_shorten, stage, plan)
