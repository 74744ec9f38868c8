import asyncio
import json
import re
from collections.abc import Callable
from io import StringIO

import pytest
from httpx import BaseTransport, HTTPTransport, Request, Response
from rich.console import Console

from server.demo.cast import Cast
from server.demo.expectation import Unexpected
from server.demo.narrator import Narrator
from server.demo.remote import Remote
from server.demo.story import FEWEST_HOUSEHOLDS, play
from tests.conftest import ADMIN_EMAIL, PASSWORD, Croft

NewTransport = Callable[[], BaseTransport]


def played(url: str, narrator: Narrator, password: str = PASSWORD, new_transport: NewTransport = HTTPTransport) -> Cast:
    with Remote(url, new_transport) as remote:
        return play(narrator, remote, email=ADMIN_EMAIL, password=password, households=FEWEST_HOUSEHOLDS)


async def test_story_comes_to_its_end_on_a_server_that_behaves(croft: Croft) -> None:
    out = StringIO()
    narrator = Narrator(Console(file=out, width=100))
    cast = await asyncio.to_thread(played, croft.url, narrator)
    told = out.getvalue()
    assert "12. All as it should be" in told
    assert narrator.checks == told.count("✓")
    assert f"{croft.url}/artifacts/{cast.programme.artifact_id}.png" in told


class Tampering:
    """Ways to a server that answers some requests wrongly: those to `path`, the n-th time and every time after.

    `change` gives the wrong answer from the right one. All the ways that it makes are counted together.
    """

    def __init__(self, path: str, change: Callable[[Response], Response], from_time: int = 1) -> None:
        self._path = path
        self._change = change
        self._left = from_time - 1

    def __call__(self) -> BaseTransport:
        return _Tampered(self)

    def answer(self, request: Request, right: Response) -> Response:
        if not re.fullmatch(self._path, request.url.path):
            return right
        self._left -= 1
        return right if self._left >= 0 else self._change(right)


class _Tampered(BaseTransport):
    def __init__(self, tampering: Tampering) -> None:
        self._tampering = tampering
        self._network = HTTPTransport()

    def handle_request(self, request: Request) -> Response:
        return self._tampering.answer(request, self._network.handle_request(request))

    def close(self) -> None:
        self._network.close()


def says(answer: object) -> Callable[[Response], Response]:
    """Whatever the right answer is."""

    def change(right: Response) -> Response:
        right.close()
        return Response(200, json=answer)

    return change


def lets_in(right: Response) -> Response:
    if right.status_code != 403:
        return right
    right.close()
    return Response(200, json=[])


def without(line: bytes) -> Callable[[Response], Response]:
    """The right answer without the lines that begin so."""

    def change(right: Response) -> Response:
        lines = right.read().splitlines(keepends=True)
        right.close()
        return Response(200, content=b"".join(each for each in lines if not each.startswith(line)))

    return change


def with_another_hash(right: Response) -> Response:
    answer = json.loads(right.read())
    right.close()
    receipt = answer.get("receipt", answer)
    if receipt:
        receipt["hash"] = "00" * 32
    return Response(200, json=answer)


@pytest.mark.parametrize(
    ("tampering", "failing"),
    [
        (Tampering("/api/entities/count", says({"count": 0}), from_time=2), "nothing is doubled"),
        (Tampering("/api/v2/sync/pull", without(b'{"entity"'), from_time=3), "all that either of them recorded"),
        (Tampering("/api/conflicts", says([])), "lists the conflict"),
        (Tampering("/api/sync/pull", says({"events": [], "nextCursor": None})), "It receives all"),
        (Tampering("/api/v2/sync/snapshot", without(b'{"entity"')), "each of them once"),
        (Tampering("/api/v2/sync/live", lambda right: Response(403, json={})), "Ines's phone listens"),
        (Tampering("/api/v2/sync/push", with_another_hash), "receipts that phones hold are right"),
        (Tampering("/api/v2/sync/live", lets_in), "Keo is refused everywhere"),
    ],
    ids=lambda value: value.replace(" ", "-") if isinstance(value, str) else "",
)
async def test_server_that_does_not_behave_is_caught(croft: Croft, tampering: Tampering, failing: str) -> None:
    with pytest.raises(Unexpected) as raised:
        await asyncio.to_thread(played, croft.url, Narrator(Console(file=StringIO())), new_transport=tampering)
    assert re.search(failing, raised.value.what), raised.value


async def test_operators_wrong_password_ends_the_story(croft: Croft) -> None:
    with pytest.raises(Unexpected) as raised:
        await asyncio.to_thread(played, croft.url, Narrator(Console(file=StringIO())), password="Wrong-Horse-7")
    assert raised.value.what == "POST /api/users/login"
    assert raised.value.found.startswith("status 401: ")
