import asyncio
import re
from io import StringIO

import httpx
import pytest
from rich.console import Console

from server.demo.cast import Cast
from server.demo.expectation import Unexpected
from server.demo.narrator import Narrator
from server.demo.remote import Remote
from server.demo.story import FEWEST_HOUSEHOLDS, play
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft


def played(
    url: str, narrator: Narrator, password: str = PASSWORD, transport: httpx.BaseTransport | None = None
) -> Cast:
    with Remote(url, transport) as remote:
        return play(narrator, remote, email=ADMIN_EMAIL, password=password, households=FEWEST_HOUSEHOLDS)


async def test_story_comes_to_its_end_on_a_server_that_behaves_and_can_be_told_again(croft: Croft) -> None:
    for _ in range(2):
        out = StringIO()
        narrator = Narrator(Console(file=out, width=100))
        cast = await asyncio.to_thread(played, croft.url, narrator)
        told = out.getvalue()
        assert "9. All as it should be" in told
        assert narrator.checks == told.count("✓")
        assert f"{croft.url}/artifacts/{cast.programme.artifact_id}.png" in told


class OpenDoor(httpx.BaseTransport):
    """The network to a server that answers 200 where it should refuse."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._network.handle_request(request)
        if request.url.path == self._path and answer.status_code == 403:
            return httpx.Response(200, json=[])
        return answer

    def close(self) -> None:
        self._network.close()


class Tampered(httpx.BaseTransport):
    """The network to a server that answers some requests wrongly: `path`, the n-th time and every time after."""

    def __init__(self, path: str, answer: httpx.Response, from_time: int) -> None:
        self._path = path
        self._answer = answer
        self._left = from_time - 1
        self._network = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path != self._path:
            return self._network.handle_request(request)
        self._left -= 1
        return self._network.handle_request(request) if self._left >= 0 else self._answer

    def close(self) -> None:
        self._network.close()


@pytest.mark.parametrize(
    ("path", "answer", "from_time", "failing"),
    [
        ("/api/entities/count", {"count": 0}, 2, "nothing is doubled"),
        ("/api/sync/pull", {"events": [], "nextCursor": None}, 1, "all that either of them recorded"),
        ("/api/sync/pull", {"events": [], "nextCursor": None}, 3, "Amina.s phone shows it so"),
        ("/api/potential-duplicates", [], 1, "finds this pair"),
        ("/api/entities/count-by-form", {"household": 1}, 1, "by form"),
    ],
)
async def test_server_that_does_not_behave_is_caught(
    croft: Croft, path: str, answer: object, from_time: int, failing: str
) -> None:
    transport = Tampered(path, httpx.Response(200, json=answer), from_time)
    with pytest.raises(Unexpected) as raised:
        await asyncio.to_thread(played, croft.url, Narrator(Console(file=StringIO())), transport=transport)
    assert re.search(failing, raised.value.what)


async def test_server_that_lets_a_stranger_in_is_caught(croft: Croft) -> None:
    out = StringIO()
    with pytest.raises(Unexpected, match="Keo is refused everywhere"):
        await asyncio.to_thread(
            played, croft.url, Narrator(Console(file=out)), transport=OpenDoor("/api/potential-duplicates")
        )


async def test_operators_wrong_password_ends_the_story(croft: Croft) -> None:
    with pytest.raises(Unexpected) as raised:
        await asyncio.to_thread(played, croft.url, Narrator(Console(file=StringIO())), password="Wrong-Horse-7")
    assert raised.value.what == "POST /api/users/login"
    assert raised.value.found.startswith("status 401: ")
