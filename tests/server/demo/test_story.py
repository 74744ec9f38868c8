import asyncio
from io import StringIO

import pytest
from rich.console import Console

from server.demo.cast import Cast
from server.demo.expectation import Unexpected
from server.demo.narrator import Narrator
from server.demo.remote import Remote
from server.demo.story import FEWEST_HOUSEHOLDS, play
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft


def played(url: str, narrator: Narrator, password: str = PASSWORD) -> Cast:
    with Remote(url) as remote:
        return play(narrator, remote, email=ADMIN_EMAIL, password=password, households=FEWEST_HOUSEHOLDS)


async def test_story_comes_to_its_end_on_a_server_that_behaves_and_can_be_told_again(croft: Croft) -> None:
    for _ in range(2):
        out = StringIO()
        narrator = Narrator(Console(file=out, width=100))
        cast = await asyncio.to_thread(played, croft.url, narrator)
        told = out.getvalue()
        assert "8. All as it should be" in told
        assert narrator.checks == told.count("✓")
        assert f"{croft.url}/artifacts/{cast.programme.artifact_id}.png" in told


async def test_operators_wrong_password_ends_the_story(croft: Croft) -> None:
    with pytest.raises(Unexpected) as raised:
        await asyncio.to_thread(played, croft.url, Narrator(Console(file=StringIO())), password="Wrong-Horse-7")
    assert raised.value.what == "POST /api/users/login"
    assert raised.value.found.startswith("status 401: ")
