"""How a device takes what servers, networks and portals answer. The answers are scripted, the device is real."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.device import Device, EpochChanged, NotAllowed, NotSignedIn, Progress, Rejected, Retrying, SyncFailed
from server.device import Unavailable as ServerUnavailable
from server.device.exchange import Patience
from server.device.strict import read, write

Answer = httpx.Response | Exception


def problem(status: int, code: str = "a.code", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return httpx.Response(status, json={"code": code, "detail": "Words.", **more}, headers=headers)


def lines(*values: Any) -> httpx.Response:
    return httpx.Response(200, content="".join(write(value) + "\n" for value in values).encode())


def entity(guid: str, version: int, **more: Any) -> dict[str, Any]:
    return {
        "guid": guid,
        "version": version,
        "state": "live",
        "type": "individual",
        "form": "individual",
        "name": guid,
        "externalId": None,
        "data": {"name": guid},
        "memberIds": [],
        "parentIds": [],
        "lastUpdated": "2026-01-31T08:15:00.000Z",
        **more,
    }


SNAPSHOT = ({"snapshot": {"epoch": "e", "cursor": "e.0", "total": 0}}, {"cursor": "e.0", "done": True})
NOTHING_NEW = {"cursor": "e.0", "more": False}


class Server:
    """Answers what the test says, per path, in order; then that there is nothing new. Takes whatever is pushed."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Callable[[httpx.Request], Answer] | Answer]] = {
            "push": [],
            "snapshot": [],
            "pull": [],
        }
        self.requests: list[httpx.Request] = []
        self.seq = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        kind = request.url.path.rsplit("/", 1)[1]
        planned = self.answers.get(kind)
        answer = planned.pop(0) if planned else self._usual(kind)
        answer = answer(request) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _usual(self, kind: str) -> Callable[[httpx.Request], Answer] | Answer:
        if kind == "push":
            return self.take
        return lines(*SNAPSHOT) if kind == "snapshot" else lines(NOTHING_NEW)

    def take(self, request: httpx.Request) -> httpx.Response:
        fates = []
        for event in events_in(request):
            self.seq += 1
            fates.append({"guid": event["guid"], "status": "accepted", "seq": self.seq})
        return httpx.Response(200, json={"epoch": "e", "receipt": None, "events": fates})

    def asked(self, kind: str) -> list[httpx.Request]:
        return [request for request in self.requests if request.url.path.endswith(kind)]


def events_in(request: httpx.Request) -> list[dict[str, Any]]:
    content = request.read()
    if request.headers.get("Content-Encoding") == "zstd":
        content = httpx.Response(200, headers={"Content-Encoding": "zstd"}, content=content).content
    found: list[dict[str, Any]] = read(content)["events"]
    return found


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def device(tmp_path: Path, server: Server, pauses: list[float]) -> Iterator[Device]:
    retrying = Retrying(attempts=3, first_pause=1.0, longest_pause=30.0, sleep=pauses.append, chance=lambda: 1.0)
    with Device(
        tmp_path / "store",
        server="http://croft.test",
        tenant="north",
        retrying=retrying,
        transport=httpx.MockTransport(server),
    ) as opened:
        opened.use_token("a token", user_id="7")
        yield opened


def test_each_request_says_who_asks_for_whom(device: Device, server: Server) -> None:
    device.create("individual", "Grace")
    device.sync()
    assert [request.url.path for request in server.requests] == [
        "/api/v2/sync/push",
        "/api/v2/sync/snapshot",
        "/api/v2/sync/pull",
    ]
    for request in server.requests:
        assert request.headers["Authorization"] == "Bearer a token"
        assert request.headers["X-Tenant-Id"] == "north"
        assert request.headers["X-Device-Id"] == device.id
        assert request.headers["Accept-Encoding"] == "zstd, gzip"
    push, snapshot, pull = server.requests
    assert "epoch" not in push.url.params
    assert not snapshot.url.params
    assert dict(pull.url.params) == {"cursor": "e.0", "include": "events,entities"}
    device.create("individual", "Amina")
    device.sync()
    assert server.requests[3].url.params["epoch"] == "e"


@pytest.mark.parametrize(
    "failure", [problem(503), problem(429), problem(500), httpx.ConnectError("refused"), httpx.ReadTimeout("silent")]
)
def test_what_may_pass_is_tried_again_after_growing_pauses(
    device: Device, server: Server, pauses: list[float], failure: Answer
) -> None:
    device.create("individual", "Grace")
    server.answers["push"] = [failure, failure]
    assert device.sync().pushed == 1
    assert pauses == [1.0, 2.0]


def test_what_does_not_pass_is_reported_with_all_that_was_done_before(
    device: Device, server: Server, pauses: list[float]
) -> None:
    device.create("individual", "Grace")
    server.answers["pull"] = [problem(503)] * 3
    with pytest.raises(ServerUnavailable) as failure:
        device.sync()
    assert failure.value.report.pushed == 1
    assert failure.value.report.snapshot
    assert len(pauses) == 2
    assert device.outbox() == []
    device.sync()
    assert len(server.asked("snapshot")) == 1


def test_pauses_are_random_and_bounded() -> None:
    waited: list[float] = []
    chances = iter([0.0, 1.0, 0.5, 0.0])
    retrying = Retrying(
        attempts=5, first_pause=4.0, longest_pause=10.0, sleep=waited.append, chance=lambda: next(chances)
    )
    patience = Patience(retrying)
    for _ in range(4):
        patience.wait(ServerUnavailable("away"))
    assert waited == [2.0, 8.0, 7.5, 5.0]
    with pytest.raises(ServerUnavailable):
        patience.wait(ServerUnavailable("away"))


def test_server_is_given_the_time_it_asks_for(device: Device, server: Server, pauses: list[float]) -> None:
    device.create("individual", "Grace")
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=20), usegmt=True)
    server.answers["push"] = [problem(429, headers={"Retry-After": "17"}), problem(503, headers={"Retry-After": later})]
    device.sync()
    assert pauses[0] == 17.0
    assert 15 < pauses[1] <= 20


def test_server_that_asks_for_too_much_time_is_left_to_the_caller(
    device: Device, server: Server, pauses: list[float]
) -> None:
    device.create("individual", "Grace")
    server.answers["push"] = [problem(503, headers={"Retry-After": "3600"})]
    with pytest.raises(ServerUnavailable) as failure:
        device.sync()
    assert failure.value.retry_after == 3600
    assert pauses == []


@pytest.mark.parametrize(
    "portal",
    [
        httpx.Response(200, html="<html>Welcome aboard! Buy WiFi</html>"),
        httpx.Response(302, headers={"Location": "https://wifi.example/"}),
        httpx.Response(200, json=["not", "ours"]),
    ],
    ids=["page", "redirect", "list"],
)
def test_network_that_answers_itself_is_no_server(device: Device, server: Server, portal: httpx.Response) -> None:
    device.create("individual", "Grace")
    server.answers["push"] = [portal] * 3
    with pytest.raises(ServerUnavailable):
        device.sync()
    assert len(device.outbox()) == 1


@pytest.mark.parametrize(
    ("status", "kind"), [(401, NotSignedIn), (403, NotAllowed), (404, NotAllowed), (409, Rejected)]
)
def test_what_does_not_pass_by_itself_is_not_tried_again(
    device: Device, server: Server, pauses: list[float], status: int, kind: type[SyncFailed]
) -> None:
    device.create("individual", "Grace")
    server.answers["push"] = [problem(status)]
    with pytest.raises(kind):
        device.sync()
    assert pauses == []
    assert len(device.outbox()) == 1
    device.sync()
    assert device.outbox() == []


def test_push_that_is_too_large_is_halved_and_what_is_too_large_alone_is_set_aside(
    device: Device, server: Server
) -> None:
    people = [device.create("individual", f"Person {number}", photo="x" * (number == 3) * 900) for number in range(8)]

    def limited(request: httpx.Request) -> httpx.Response:
        large = sum(len(write(event)) for event in events_in(request)) > 1000
        return problem(413, "body.too-large") if large else server.take(request)

    server.answers["push"] = [limited] * 100
    seen: list[Progress] = []
    report = device.sync(progress=seen.append)
    assert report.pushed == 7
    assert [event.entity_guid for event in report.refused] == [people[3]]
    refused = device.refused()
    assert [(event.status, event.code) for event in refused] == [("set-aside", "body.too-large")]
    assert device.get(people[3]) is None
    assert [each.done for each in seen if each.stage == "push"][-1] == 8
    device.sync()
    assert device.outbox() == []
    server.answers["push"] = []
    device.offer_again(refused[0].guid)
    assert device.get(people[3]) is not None
    assert device.sync().pushed == 1
    assert device.refused() == []


def test_event_for_which_the_server_refuses_the_whole_push_is_found_and_set_aside(
    device: Device, server: Server
) -> None:
    for number in range(5):
        device.create("individual", f"Person {number}")

    def picky(request: httpx.Request) -> httpx.Response:
        bad = [event for event in events_in(request) if event["data"]["name"] == "Person 2"]
        return problem(400, "json.invalid", errors=[{"path": "events[2].data"}]) if bad else server.take(request)

    server.answers["push"] = [picky] * 100
    report = device.sync()
    assert report.pushed == 4
    assert [event.data["name"] for event in device.refused()] == ["Person 2"]
    device.discard(device.refused()[0].guid)
    assert device.refused() == []


def test_quarantined_event_is_kept_with_the_reason_and_shown_no_more(device: Device, server: Server) -> None:
    person = device.create("individual", "Grace")

    def refuse(request: httpx.Request) -> httpx.Response:
        (event,) = events_in(request)
        fate = {
            "guid": event["guid"],
            "status": "quarantined",
            "code": "event.invalid",
            "path": "data",
            "detail": "Bad.",
        }
        return httpx.Response(200, json={"epoch": "e", "receipt": None, "events": [fate]})

    server.answers["push"] = [refuse]
    report = device.sync()
    assert [(event.code, event.path, event.detail) for event in report.refused] == [("event.invalid", "data", "Bad.")]
    assert device.refused() == report.refused
    assert device.outbox() == []
    assert device.get(person) is None


def test_snapshot_goes_on_behind_its_last_part_and_keeps_its_first_cursor(device: Device, server: Server) -> None:
    header = {"snapshot": {"epoch": "e", "cursor": "e.5", "total": 3}}
    later = {"snapshot": {"epoch": "e", "cursor": "e.9", "total": 3}}
    server.answers["snapshot"] = [
        lines(header, {"entity": entity("a", 1)}, {"resume": "r1", "sent": 1}, {"entity": entity("b", 2)}),
        lines(later, {"entity": entity("b", 7)}, {"entity": entity("c", 3)}, {"cursor": "e.9", "done": True}),
    ]
    seen: list[Progress] = []
    device.sync(progress=seen.append)
    assert server.asked("snapshot")[1].url.params["resume"] == "r1"
    assert server.asked("pull")[0].url.params["cursor"] == "e.5"
    assert [each.guid for each in device.entities()] == ["a", "b", "c"]
    done = [each.done for each in seen if each.stage == "snapshot"]
    assert done == sorted(done)
    assert [each.total for each in seen if each.stage == "snapshot"] == [3, 3, 3, 3]
    assert done[-1] == 3


def test_snapshot_whose_place_is_forgotten_begins_anew(device: Device, server: Server) -> None:
    header = {"snapshot": {"epoch": "e", "cursor": "e.5", "total": 3}}
    server.answers["snapshot"] = [
        lines(header, {"entity": entity("a", 1)}, {"resume": "r1", "sent": 1}),
        problem(400, "sync.bad-resume"),
        lines(header, {"entity": entity("b", 2)}, {"cursor": "e.5", "done": True}),
    ]
    device.sync()
    assert [each.guid for each in device.entities()] == ["b"]


def test_text_with_odd_line_separators_is_one_line(device: Device, server: Server) -> None:
    name = "a\u2028b\x85c\u2029d"
    server.answers["pull"] = [lines({"entity": entity("a", 1, name=name, data={"name": name})}, NOTHING_NEW)]
    device.sync()
    assert [each.name for each in device.entities()] == [name]


def test_line_that_broke_off_is_not_taken_for_a_whole_one(device: Device, server: Server) -> None:
    cut = httpx.Response(200, content=(write({"entity": entity("a", 1)}) + "\n" + '{"cursor":"e.1').encode())
    server.answers["pull"] = [cut, lines({"cursor": "e.12", "more": False})]
    device.sync()
    assert [request.url.params["cursor"] for request in server.asked("pull")] == ["e.0", "e.0"]
    device.sync()
    assert server.asked("pull")[2].url.params["cursor"] == "e.12"


def test_entity_never_goes_back_to_an_older_version(device: Device, server: Server) -> None:
    server.answers["pull"] = [
        lines(
            {"entity": entity("a", 9, name="new")},
            {"cursor": "e.9"},
            {"entity": entity("a", 8, name="old")},
            NOTHING_NEW,
        )
    ]
    device.sync()
    assert [each.name for each in device.entities()] == ["new"]


def test_own_change_stays_shown_until_the_pull_brings_its_result(device: Device, server: Server) -> None:
    server.answers["pull"] = [lines({"entity": entity("a", 3, data={"phone": "0"})}, {"cursor": "e.3", "more": False})]
    device.sync()
    server.seq = 3
    device.change("a", phone="1")
    assert device.outbox()[0].base_version == 3
    server.answers["pull"] = [problem(403)]
    with pytest.raises(NotAllowed):
        device.sync()
    assert device.outbox() == []
    shown = device.get("a")
    assert shown is not None
    assert (shown.data, shown.unsynced) == ({"phone": "1"}, True)
    final = {"phone": "1", "village": "Kibera"}
    server.answers["pull"] = [lines({"entity": entity("a", 4, data=final)}, {"cursor": "e.4", "more": False})]
    device.sync()
    shown = device.get("a")
    assert shown is not None
    assert (shown.data, shown.unsynced) == (final, False)


def test_receipt_that_is_not_about_what_was_pushed_is_told(device: Device, server: Server) -> None:
    device.create("individual", "Grace")

    def lie(request: httpx.Request) -> httpx.Response:
        answer = server.take(request).json()
        receipt = {"epoch": "e", "first": 1, "last": 1, "hash": "00" * 32, "previous": ""}
        return httpx.Response(200, json=answer | {"receipt": receipt})

    server.answers["push"] = [lie]
    report = device.sync()
    assert not report.proven
    assert [receipt.verified for receipt in device.receipts()] == [False]


def test_pull_goes_on_until_there_is_no_more(device: Device, server: Server, pauses: list[float]) -> None:
    server.answers["pull"] = [
        lines({"entity": entity("a", 1)}, {"cursor": "e.1", "more": True}),
        lines({"entity": entity("b", 2)}, {"cursor": "e.2", "more": False}),
    ]
    assert device.sync().entities == 2
    assert [request.url.params["cursor"] for request in server.asked("pull")] == ["e.0", "e.1"]
    assert pauses == []


def test_server_that_is_of_another_epoch_every_time_is_told(device: Device, server: Server) -> None:
    server.answers["pull"] = [problem(410, "sync.epoch-changed", epoch=f"e{number}") for number in range(9)]
    server.answers["snapshot"] = [
        lines(
            {"snapshot": {"epoch": epoch, "cursor": f"{epoch}.0", "total": 0}}, {"cursor": f"{epoch}.0", "done": True}
        )
        for epoch in ("e", "e0", "e1", "e2")
    ]
    with pytest.raises(EpochChanged):
        device.sync()


def test_device_whose_cursor_is_past_the_head_offers_everything_though_the_epoch_is_the_same(
    device: Device, server: Server
) -> None:
    person = device.create("individual", "Grace")
    device.sync()
    server.answers["pull"] = [problem(410, "sync.epoch-changed", epoch="e")]
    server.seq = 0
    report = device.sync()
    assert (report.epoch_changed, report.pushed, report.snapshot) == (True, 1, True)
    assert [event["entityGuid"] for event in events_in(server.asked("push")[1])] == [person]


def stream_of(*blocks: str) -> httpx.Response:
    return httpx.Response(
        200, content="\n\n".join([*blocks, ""]).encode(), headers={"Content-Type": "text/event-stream"}
    )


def head(cursor: str) -> str:
    return f'id: {cursor}\nevent: head\ndata: {{"cursor": "{cursor}"}}'


def test_head_is_told_until_the_device_has_gone_for_it(device: Device, server: Server) -> None:
    device.sync()
    server.answers["live"] = [stream_of("retry: 3000", head("e.0"), head("e.4"), ": still here", ": still here")]
    server.answers["pull"] = [lines({"cursor": "e.4", "more": False})]
    heads = device.live()
    assert [next(heads).cursor, next(heads).cursor] == ["e.4", "e.4"]
    device.sync()
    server.answers["live"] = [stream_of(head("e.4"), 'event: epoch\ndata: {"epoch": "f"}')]
    assert next(heads).cursor is None
    assert [dict(request.url.params) for request in server.asked("live")] == [{"cursor": "e.0"}, {"cursor": "e.4"}]


def test_device_without_a_cursor_says_what_it_has_heard(device: Device, server: Server) -> None:
    server.answers["live"] = [
        stream_of(head("e.1")),
        problem(429, "live.too-many", headers={"Retry-After": "60"}),
        stream_of(head("e.2")),
    ]
    heads = device.live()
    assert [next(heads).cursor, next(heads).cursor] == ["e.1", "e.2"]
    assert [request.headers.get("Last-Event-ID") for request in server.asked("live")] == [None, "e.1", "e.1"]
