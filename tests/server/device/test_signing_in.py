"""Devices renew what they are signed in with by themselves, also on a bad network."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from server.device import Device, NotSignedIn
from tests.conftest import PASSWORD
from tests.server.device.conftest import Field, told_in_a_thread

REFRESH = "/api/v2/auth/refresh"


class Killed(BaseException):
    """The program ends, wherever it is."""


class Network(httpx.BaseTransport):
    """The network, with a say in what becomes of answers. `asked` are the paths, in order."""

    def __init__(self) -> None:
        self.inner = httpx.HTTPTransport()
        self.asked: list[str] = []
        self.behind: Callable[[httpx.Request, httpx.Response], None] = lambda request, response: None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        response = self.inner.handle_request(request)
        response.read()
        self.behind(request, response)
        return response

    def close(self) -> None:
        self.inner.close()

    def loses(self, times: int) -> None:
        """The next answers to a refresh never arrive."""
        left = [httpx.ReadError("the connection was cut")] * times

        def lose(request: httpx.Request, _: httpx.Response) -> None:
            if request.url.path == REFRESH and left:
                raise left.pop()

        self.behind = lose


@pytest.fixture
def network() -> Network:
    return Network()


def outdate(device: Device) -> None:
    """The device's access token is over."""
    device._store.set(token="one that the server does not take")


@told_in_a_thread
def test_device_goes_on_when_its_access_token_is_over(field_work: Field, network: Network) -> None:
    device = field_work.device("tablet", transport=network)
    device.create("individual", "Amina")
    outdate(device)
    assert device.sync().pushed == 1
    outdate(device)
    device.create("individual", "Grace")
    assert device.sync().pushed == 1
    assert network.asked.count(REFRESH) == 2
    assert field_work.count_on_server() == 2


@told_in_a_thread
def test_device_goes_on_when_answers_to_its_refresh_are_lost(field_work: Field, network: Network) -> None:
    device = field_work.device("tablet", transport=network)
    for _ in range(3):
        outdate(device)
        network.loses(2)
        device.create("individual", "Amina")
        assert device.sync().pushed == 1
    assert network.asked.count(REFRESH) == 9


@told_in_a_thread
def test_device_that_is_killed_between_a_refresh_and_the_next_request_goes_on(
    field_work: Field, network: Network
) -> None:
    def kill(request: httpx.Request, _: httpx.Response) -> None:
        if REFRESH in network.asked and request.url.path != REFRESH:
            raise Killed

    with field_work.stranger("tablet", transport=network) as device:
        device.sign_in(field_work.email, PASSWORD)
        device.create("individual", "Amina")
        outdate(device)
        network.behind = kill
        with pytest.raises(Killed):
            device.sync()
    with field_work.stranger("tablet", transport=Network()) as device:
        assert device.sync().pushed == 1
        outdate(device)
        device.sync()


@told_in_a_thread
def test_threads_of_a_device_renew_once(field_work: Field, network: Network) -> None:
    device = field_work.device("tablet", transport=network)
    outdate(device)
    both_refused = threading.Barrier(2)

    def meet(_: httpx.Request, response: httpx.Response) -> None:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            both_refused.wait(30)

    network.behind = meet
    with ThreadPoolExecutor(2) as threads:
        paths = [threads.submit(device._exchange.get, "/api/users/me") for _ in range(2)]
    assert [path.result(60)["email"] for path in paths] == [field_work.email] * 2
    assert network.asked.count(REFRESH) == 1


@told_in_a_thread
def test_device_whose_session_was_ended_keeps_what_waits_until_somebody_signs_in(field_work: Field) -> None:
    device = field_work.device("tablet")
    device.create("individual", "Amina")

    async def end_sessions() -> None:
        answer = await field_work.tenant.api.delete(f"/api/users/{field_work.email}/sessions")
        assert answer.json() == {"ended": 1}

    field_work.run(end_sessions())
    for _ in range(2):
        with pytest.raises(NotSignedIn):
            device.sync()
    assert len(device.outbox()) == 1
    device.sign_in(field_work.email, PASSWORD, name="Amina's tablet")
    assert device.sync().pushed == 1

    async def names() -> set[str]:
        answer = await field_work.tenant.api.get(f"/api/users/{field_work.email}/sessions")
        return {f"{each['deviceName']} {each['deviceId']}" for each in answer.json()}

    assert field_work.run(names()) == {f"Amina's tablet {device.id}"}


@told_in_a_thread
def test_listening_goes_on_when_the_access_token_is_over(field_work: Field) -> None:
    device = field_work.device("tablet")
    device.create("individual", "Amina")
    device.sync()
    outdate(device)
    device._store.set(cursor=None)
    assert next(iter(device.live())).cursor


@told_in_a_thread
def test_token_that_was_got_elsewhere_is_not_renewed(field_work: Field, network: Network) -> None:
    device = field_work.device("tablet", transport=network)
    device.use_token("a token", user_id="7")
    with pytest.raises(NotSignedIn):
        device.sync()
    device.sign_out()
    with pytest.raises(NotSignedIn):
        device.sync()
    assert REFRESH not in network.asked


@told_in_a_thread
def test_who_signs_out_while_tokens_are_renewed_stays_signed_out(field_work: Field, network: Network) -> None:
    device = field_work.device("tablet", transport=network)
    outdate(device)

    def sign_out(request: httpx.Request, _: httpx.Response) -> None:
        if request.url.path == REFRESH:
            device.sign_out()

    network.behind = sign_out
    with pytest.raises(NotSignedIn):
        device.sync()
    assert device._store.get("refresh_token") is None


@told_in_a_thread
def test_copy_of_a_store_is_found_out(field_work: Field) -> None:
    device = field_work.device("tablet")
    stolen = device._store.get("refresh_token")
    outdate(device)
    device.sync()
    with httpx.Client(base_url=field_work.url) as thief:
        answer = thief.post(REFRESH, json={"refreshToken": stolen})
    assert answer.json()["code"] == "auth.refresh-reused"
    with pytest.raises(NotSignedIn):
        device.sync()
