"""What administrators do at the same moment: each act waits for the one before, and nobody waits in a circle."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.conftest import PASSWORD, Croft, small_config, upload_of

Step = Callable[[], Awaitable[httpx.Response]]
ROLES = ("admin", "reviewer", "collector", "viewer")


@pytest.mark.parametrize("seed", [1, 2])
async def test_acts_of_many_kinds_at_once_all_succeed_and_the_logs_hold(fresh_croft: Croft, seed: int) -> None:
    """A deadlock would be answered 503."""
    chance = random.Random(seed)
    operator = fresh_croft.operator
    names = [(await fresh_croft.tenant()).config_id for _ in range(2)]
    people = []
    for number in range(3):
        person = {"email": f"p{number}@croft.test", "password": PASSWORD, "role": "USER", "memberships": []}
        people.append((await operator.post("/api/users", json=person)).json()["id"])

    def upload() -> Awaitable[httpx.Response]:
        config = {**small_config(chance.choice(names)), "name": f"Name {chance.random()}"}
        return operator.post("/api/apps", files={"config": upload_of(config)})

    def settle() -> Awaitable[httpx.Response]:
        memberships = [{"configId": name, "role": chance.choice(ROLES)} for name in names if chance.random() > 0.3]
        return operator.put(f"/api/users/{chance.choice(people)}", json={"memberships": memberships})

    def change_state() -> Awaitable[httpx.Response]:
        return operator.post(f"/api/tenants/{chance.choice(names)}/{chance.choice(['suspend', 'resume'])}")

    def make() -> Awaitable[httpx.Response]:
        return operator.post("/api/tenants", json={"id": f"made-{chance.random()}".replace(".", ""), "name": "Made"})

    def look() -> Awaitable[httpx.Response]:
        return operator.get("/api/entities", params={"configId": chance.choice(names)})

    steps: list[Step] = [chance.choice([upload, settle, change_state, make, look, look]) for _ in range(60)]
    answers = await asyncio.gather(*(step() for step in steps))
    assert {answer.status_code for answer in answers} <= {200, 201}, [
        answer.text for answer in answers if answer.status_code > 201
    ]
    for path in ("/api/installation/audit/verify", *(f"/api/audit/verify?configId={name}" for name in names)):
        verified = (await operator.get(path)).json()
        assert verified["intact"], verified
