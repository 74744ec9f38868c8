from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.demo.expectation import Unexpected
from server.demo.network import Network
from server.demo.phone import Account, Phone, Phones, offline
from server.demo.remote import Remote, Session
from server.device import Unavailable

NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)

Answer = Callable[[httpx.Request], httpx.Response]


def refuses(_: httpx.Request) -> httpx.Response:
    return httpx.Response(403, json={"code": "access.forbidden", "detail": "You may not."})


@pytest.fixture
def phones() -> Iterator[Phones]:
    with Phones() as phones:
        yield phones


def phone_of(phones: Phones, answer: Answer = refuses) -> Phone:
    remote = Remote("http://server.test", lambda: httpx.MockTransport(answer))
    ann = Account("Ann", "ann@north.test", "Correct-Horse-7", Session(remote, token="t", user_id="7"))
    return phones.new(ann, tenant="north", clock=NOW)


def test_phone_registers_a_household_and_shows_the_eldest_of_it_first(phones: Phones) -> None:
    phone = phone_of(phones)
    home = phone.register({"entityName": "household", "name": "Home"})
    for name, born in (("Ben", "2001-01-01"), ("Ann", "1980-01-01")):
        phone.register_member(home, {"entityName": "individual", "name": name, "dateOfBirth": born})
    assert [person.name for person in phone.members(home)] == ["Ann", "Ben"]
    assert phone.show(home).data == {"entityName": "household", "name": "Home"}


def test_events_are_stamped_with_the_phones_clock_and_its_owner(phones: Phones) -> None:
    phone = phone_of(phones)
    home = phone.register({"entityName": "household", "name": "Home"})
    phone.clock = NOW + timedelta(hours=1)
    phone.device.change(home, village="Kibera")
    assert [(event.timestamp, event.user_id) for event in phone.device.outbox()] == [
        ("2026-05-01T08:00:00.000Z", "7"),
        ("2026-05-01T09:00:00.000Z", "7"),
    ]


def test_record_that_a_phone_does_not_show_is_told(phones: Phones) -> None:
    with pytest.raises(Unexpected, match="Ann's phone: expected to show the record nobody"):
        phone_of(phones).show("nobody")


def test_failure_of_a_sync_is_told_with_its_reason(phones: Phones) -> None:
    with pytest.raises(Unexpected, match=r"Ann's phone syncs: expected no failure, found 403 access\.forbidden"):
        phone_of(phones).sync()


def test_phones_have_no_network_in_an_offline_block_and_have_it_back_afterwards(phones: Phones) -> None:
    phone = phone_of(phones)
    with offline(phone), pytest.raises(Unexpected) as raised:
        phone.sync()
    assert isinstance(raised.value.__cause__, Unavailable)
    with pytest.raises(Unexpected, match="403"):
        phone.sync()


def test_answer_is_lost_once_and_after_the_server_was_reached() -> None:
    reached = []

    def answer(request: httpx.Request) -> httpx.Response:
        reached.append(request.url.path)
        return httpx.Response(200, json={})

    network = Network(httpx.MockTransport(answer))
    network.lose_answer("/push")
    with httpx.Client(transport=network, base_url="http://server.test") as client:
        assert client.get("/pull").status_code == 200
        with pytest.raises(httpx.ReadError):
            client.post("/push")
        assert client.post("/push").status_code == 200
    assert reached == ["/pull", "/push", "/push"]


def test_stores_of_phones_go_with_them() -> None:
    with Phones() as phones:
        device = phone_of(phones).device
        [stores] = {path.parent for path in phones.stores.glob("*.sqlite")}
        device.close()
    assert not stores.exists()
