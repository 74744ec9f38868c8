"""Which conflicts are open after any field work, told from the whole of it by definition alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from server.sync.event import Event
from tests.server.conflicts.devices import create, edit, noted, push
from tests.server.sync.conftest import Log

DEVICES = ("ben", "cleo", "dina")
FIELDS = ("village", "age")
VALUES = (1, 1.0, True, "1", None)

Step = tuple[str, str, dict[str, Any], int]

steps: st.SearchStrategy[Step] = st.tuples(
    st.sampled_from(("edit", "edit", "pull and edit", "push", "push")),
    st.sampled_from(DEVICES),
    st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(VALUES), min_size=1),
    st.integers(1, 9),
)


@dataclass
class Device:
    """What a device has seen, and what it has made and not pushed yet."""

    seen: int
    outbox: list[Event] = field(default_factory=list)


@dataclass(frozen=True)
class Push:
    """One push: whose, and its events with their numbers."""

    device: str
    events: tuple[Event, ...]

    def last_on(self, name: str) -> Event | None:
        return max((each for each in self.events if name in each.data), key=place, default=None)


def place(event: Event) -> tuple[int, str]:
    return event.timestamp_ms, event.guid


def same(one: Any, other: Any) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@dataclass(frozen=True)
class Pair:
    """Two writers of a field, the later one not knowing of the other; found by the push of this number."""

    number: int
    name: str
    event: Event
    rival: Event


def rival_of(event: Event, name: str, device: str, earlier: Sequence[Push]) -> Event | None:
    unseen = [
        other
        for each in earlier
        for other in each.events
        if each.device != device and name in other.data and event.base_seq is not None and other.seq > event.base_seq
    ]
    return max(unseen, key=place, default=None)


def pairs_by_definition(pushes: Sequence[Push]) -> Iterator[Pair]:
    for (number, each), name in product(enumerate(pushes), FIELDS):
        event = each.last_on(name)
        rival = event and rival_of(event, name, each.device, pushes[:number])
        if event and rival and not same(rival.data[name], event.data[name]):
            yield Pair(number, name, event, rival)


def settles(later: Push, pair: Pair, devices: dict[str, str]) -> bool:
    event = later.last_on(pair.name)
    if event is None or event.base_seq is None:
        return False
    below = [side for side in (pair.event, pair.rival) if place(side) < place(event)]
    known = [side for side in below if side.seq <= event.base_seq]
    return len(known) == 2 or any(devices[side.guid] == later.device for side in below)


def open_by_definition(pushes: Sequence[Push]) -> set[tuple[str, str, str]]:
    """Field, later event and earlier event of each open conflict."""
    devices = {event.guid: each.device for each in pushes for event in each.events}
    return {
        (pair.name, pair.event.guid, pair.rival.guid)
        for pair in pairs_by_definition(pushes)
        if not any(settles(later, pair, devices) for later in pushes[pair.number + 1 :])
    }


@settings(max_examples=150, deadline=None)
@given(work=st.lists(steps, min_size=8, max_size=24), knows=st.sampled_from((True, True, False)))
async def test_open_conflicts_are_those_that_the_definition_says(
    shared_log: Log, work: list[Step], knows: bool
) -> None:
    log = shared_log
    await log.empty()
    head = await create(log)
    devices = {name: Device(head) for name in DEVICES}
    pushes: list[Push] = []
    for number, (step, name, data, at) in enumerate([*work, *(("push", name, {}, 0) for name in DEVICES)]):
        device = devices[name]
        if step == "pull and edit":
            device.seen = head
        if step != "push":
            base = device.seen if knows or name != "dina" else None
            device.outbox.append(edit("ann", data, at=at, base=base, guid=f"{name}-{number:02}"))
        elif device.outbox:
            pushed = await push(log, name, *device.outbox)
            pushes.append(Push(name, tuple(pushed.events)))
            head, device.outbox = pushed.events[-1].seq, []
    found = {(each.field, *each.pair) for each in await noted(log, state="open")}
    assert found == open_by_definition(pushes)
