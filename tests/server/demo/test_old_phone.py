import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from server.demo.expectation import Unexpected
from server.demo.forms import entry_of
from server.demo.old_phone import BATCH, OldPhone
from server.demo.remote import Remote, Session

NOW = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)

Answer = Callable[[httpx.Request], httpx.Response]


def phone_of(answer: Answer) -> OldPhone:
    remote = Remote("http://server.test", lambda: httpx.MockTransport(answer))
    return OldPhone(Session(remote, token="t", user_id="7"), "north", NOW)


def accepts_all(request: httpx.Request) -> httpx.Response:
    events = json.loads(request.content)["events"]
    return httpx.Response(200, json={"status": "success", "events": [{"status": "accepted"} for _ in events]})


def test_phone_records_offline_what_it_shows_and_will_send() -> None:
    phone = phone_of(accepts_all)
    member = entry_of({"name": "Ann", "age": 30})
    home = phone.create_household({"name": "Home"}, [member])
    [ann] = phone.copy[home].members
    assert phone.copy[ann].data == {"name": "Ann", "age": 30}
    [created] = phone.outbox
    assert created == {
        "guid": created["guid"],
        "entityGuid": home,
        "type": "create-group",
        "data": {"name": "Home", "members": [member]},
        "timestamp": "2026-05-01T08:00:00.000Z",
        "userId": "7",
        "syncLevel": 0,
    }


def test_outbox_is_sent_in_batches_and_is_empty_afterwards() -> None:
    sizes = []

    def answer(request: httpx.Request) -> httpx.Response:
        sizes.append(len(json.loads(request.content)["events"]))
        return accepts_all(request)

    phone = phone_of(answer)
    for _ in range(BATCH + 5):
        phone.create_household({"name": "Home"}, [])
    assert phone.push() == Counter(accepted=BATCH + 5)
    assert (sizes, phone.outbox) == ([BATCH, 5], [])


def test_what_the_server_did_not_take_stays_in_the_outbox() -> None:
    phone = phone_of(lambda _: httpx.Response(503, json={"message": "Not now."}))
    phone.create_household({"name": "Home"}, [])
    with pytest.raises(Unexpected) as raised:
        phone.push()
    assert (raised.value.expected, raised.value.found) == ("status 200", "status 503: Not now.")
    assert len(phone.outbox) == 1


def test_pull_goes_on_until_there_is_no_cursor_and_next_time_from_the_last_timestamp() -> None:
    asked: list[str] = []

    def event(guid: str, timestamp: str) -> dict[str, Any]:
        return {"type": "create-individual", "entityGuid": guid, "data": {"name": guid}, "timestamp": timestamp}

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.query.decode())
        if "since=&" in asked[-1]:
            events = [event("b", "1000-01-01T00:00:01.001Z"), event("a", "1000-01-01T00:00:01.000Z")]
            return httpx.Response(200, json={"events": events, "nextCursor": "1000-01-01T00:00:01.002Z"})
        return httpx.Response(200, json={"events": [event("c", "1000-01-01T00:00:09.000Z")], "nextCursor": None})

    phone = phone_of(answer)
    assert (phone.pull(), len(phone.copy)) == (2, 3)
    phone.pull()
    assert asked == [
        "since=&configId=north",
        "since=1000-01-01T00:00:01.002Z&configId=north",
        "since=1000-01-01T00:00:09.000Z&configId=north",
    ]


def test_pulled_event_that_cannot_be_applied_is_told() -> None:
    event = {"type": "add-member", "entityGuid": "h", "data": {"members": []}, "timestamp": "1000-01-01T00:00:01.000Z"}
    phone = phone_of(lambda _: httpx.Response(200, json={"events": [event], "nextCursor": None}))
    with pytest.raises(Unexpected, match="add-member: expected to be applied, found h is no group of this phone"):
        phone.pull()


def test_server_of_another_kind_is_told() -> None:
    phone = phone_of(lambda _: httpx.Response(200, text="<h1>Welcome</h1>"))
    with pytest.raises(Unexpected, match="expected JSON, found <h1>Welcome"):
        phone.pull()


def test_server_that_is_not_there_is_told_by_its_address() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    phone = phone_of(answer)
    with pytest.raises(Unexpected, match=r"GET http://server.test/api/sync/pull.*connection refused"):
        phone.pull()
