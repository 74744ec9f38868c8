"""A snapshot and the pull after it give the server's state, whatever happens meanwhile."""

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from random import Random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.kit.problem import Problem
from server.sync.epoch import begin_epoch
from server.sync.event import Event
from server.sync.v2 import snapshot
from tests.server.sync.conftest import AT, Log
from tests.server.sync.strategies import batches, event, histories
from tests.server.sync.v2.conftest import DEVICE, Json, Reader, states_on


@contextmanager
def steps_of(step: int, step_bytes: int = 1 << 21) -> Iterator[None]:
    """Pieces as small as this log needs them."""
    with patch.object(snapshot, "_STEP", step), patch.object(snapshot, "_STEP_BYTES", step_bytes):
        yield


def live(entities: dict[str, Json]) -> dict[str, Json]:
    return {guid: entity for guid, entity in entities.items() if entity["state"] == "live"}


class _Fresh:
    """A device that takes a snapshot while others push, over streams that break off."""

    def __init__(self, log: Log, left: list[list[Event]], random: Random) -> None:
        self.reader = Reader(log)
        self._left = left
        self._random = random
        self._resume: str | None = None

    async def take(self) -> bool:
        """Takes lines until the stream breaks off; answers whether the snapshot is whole."""
        lines_left = self._random.choice((3, 5, 100))
        async with aclosing(self.reader.snapshot(resume=self._resume)) as lines:
            async for line in lines:
                if self._keep(line):
                    return True
                lines_left -= 1
                if lines_left <= 0 and self._resume is not None:
                    return False
                await self._push_or_not()
        raise AssertionError("the stream ended without its last line")

    async def push_the_rest(self) -> None:
        while self._left:
            await self.reader.log.push(self._left.pop(0))

    async def _push_or_not(self) -> None:
        if self._left and self._random.random() < 0.3:
            await self.reader.log.push(self._left.pop(0))

    def _keep(self, line: Json) -> bool:
        if "entity" in line:
            self.reader.keep([line["entity"]])
        self._resume = line.get("resume", self._resume)
        self.reader.cursor = line.get("snapshot", line).get("cursor", self.reader.cursor)
        return bool(line.get("done", False))


def later(events: list[Event]) -> list[Event]:
    """The events as others than those pushed before."""
    return [replace(each, guid=f"later-{each.guid}") for each in events]


@settings(max_examples=60, deadline=None)
@given(
    data=st.data(),
    before=histories(max_size=12),
    meanwhile=histories(max_size=12).map(later),
    step=st.integers(1, 3),
    step_bytes=st.sampled_from((1, 300, 1 << 21)),
    seed=st.integers(0, 99),
)
async def test_snapshot_and_the_pull_after_it_give_the_servers_state(
    shared_log: Log,
    data: st.DataObject,
    before: list[Event],
    meanwhile: list[Event],
    step: int,
    step_bytes: int,
    seed: int,
) -> None:
    """Pushes come between any two lines, and the stream breaks off anywhere, to go on from the last token that came."""
    await shared_log.empty()
    for each in data.draw(batches(before)):
        await shared_log.push(each)
    fresh = _Fresh(shared_log, data.draw(batches(meanwhile)), Random(seed))
    with steps_of(step, step_bytes):
        while not await fresh.take():
            pass
    await fresh.push_the_rest()
    await fresh.reader.pages(3)
    assert live(fresh.reader.entities) == await states_on(shared_log, only_live=True)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), events=histories(max_size=16), form=st.sampled_from((None, "household", "individual", "group")))
async def test_snapshot_of_a_log_at_rest_holds_each_live_entity_of_the_form_once(
    shared_log: Log, data: st.DataObject, events: list[Event], form: str | None
) -> None:
    await shared_log.empty()
    for each in data.draw(batches(events)):
        await shared_log.push(each)
    with steps_of(data.draw(st.integers(1, 4))):
        first, *lines = [line async for line in Reader(shared_log).snapshot(form=form)]
    sent = [line["entity"] for line in lines if "entity" in line]
    expected = {
        guid: state
        for guid, state in (await states_on(shared_log, only_live=True)).items()
        if form in (None, state["form"])
    }
    assert len(sent) == len(expected)
    assert {each["guid"]: each for each in sent} == expected
    assert first == {"snapshot": {"epoch": "one", "cursor": f"one.{len(events)}", "total": len(expected)}}
    assert lines[-1] == {"cursor": f"one.{len(events)}", "done": True}


async def test_resumed_snapshot_says_again_where_it_began_and_counts_on(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}, at=number) for number in range(5)])
    with steps_of(2):
        lines = [line async for line in Reader(log).snapshot()]
        tokens = [line for line in lines if "resume" in line]
        await log.push([event("create-individual", "late", {"n": 9}, at=9)])
        resumed = [line async for line in Reader(log).snapshot(resume=tokens[0]["resume"])]
    assert [line["sent"] for line in tokens] == [2, 4]
    assert resumed[0] == {"snapshot": {"epoch": "one", "cursor": "one.5", "total": 6}}
    assert [line["entity"]["guid"] for line in resumed if "entity" in line] == [
        "person-2",
        "person-3",
        "person-4",
        "late",
    ]
    assert next(line["sent"] for line in resumed if "sent" in line) == 4


async def test_snapshot_breaks_off_when_a_new_epoch_begins_and_its_token_is_refused(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(5)])
    tokens: list[str] = []

    async def read() -> None:
        async for line in Reader(log).snapshot():
            if "resume" in line:
                tokens.append(line["resume"])
                async with log.inside() as db:
                    await begin_epoch(db)

    with steps_of(2), pytest.raises(Problem) as broken:
        await read()
    assert broken.value.code == "sync.epoch-changed"
    with pytest.raises(Problem) as refused:
        _ = [line async for line in Reader(log).snapshot(resume=tokens[0])]
    assert refused.value.code == "sync.epoch-changed"


@pytest.mark.parametrize("token", ["x", "W10", "e30", "WyJvbmUiLDAsMSwiYSIsMCwxXQ", "bnVsbA", "é"])
async def test_token_that_was_not_given_out_is_refused(log: Log, token: str) -> None:
    with pytest.raises(Problem) as refused:
        _ = [line async for line in Reader(log).snapshot(resume=token)]
    assert refused.value.code == "sync.bad-cursor"


async def test_token_of_one_form_is_none_of_another(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(3)])
    with steps_of(1):
        lines = [line async for line in Reader(log).snapshot(form="individual")]
        token = next(line["resume"] for line in lines if "resume" in line)
        again = [line async for line in Reader(log).snapshot(resume=token)]
        assert sum("entity" in line for line in again) == 2
        with pytest.raises(Problem) as refused:
            _ = [line async for line in Reader(log).snapshot(form="household", resume=token)]
    assert refused.value.code == "sync.bad-cursor"


async def test_device_counts_as_served_when_its_snapshot_is_whole(log: Log) -> None:
    await log.push([event("create-individual", f"person-{number}", {"n": number}) for number in range(3)])
    served = "SELECT served_seq FROM devices WHERE id = $1 AND last_pull = $2"
    _ = [line async for line in Reader(log).snapshot(form="individual")]
    assert await log.fetchval(served, DEVICE, AT) is None
    _ = [line async for line in Reader(log).snapshot()]
    assert await log.fetchval(served, DEVICE, AT) == 3
