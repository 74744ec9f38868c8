"""The hub against a log whose readings take their time and whose notices come late and in any order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from server.db import Scope
from server.live.hub import Hub, Pace
from server.live.room import Credential, Listener
from server.sync.v2.cursor import Head

TENANT, SCOPE = 7, Scope("schema", "role")
NEVER = Pace(heartbeat=1000, lifetime=1000, look=1000, spacing=0)
SECONDS = 5.0


@dataclass
class Log:
    """A log; with `slow`, a reading has its result at once and gives it when `finish` lets it."""

    slow: bool = False
    head: Head = field(default_factory=lambda: Head("e0", 0))
    epochs: int = 0
    under_way: deque["asyncio.Future[None]"] = field(default_factory=deque)

    async def read(self, scope: Scope) -> Head:
        assert scope == SCOPE
        found = self.head
        if self.slow:
            gate = asyncio.get_running_loop().create_future()
            self.under_way.append(gate)
            await gate
        return found

    def finish(self) -> None:
        if self.under_way:
            self.under_way.popleft().set_result(None)

    def commit(self) -> Head:
        self.head = Head(self.head.epoch, self.head.seq + 1)
        return self.head

    def begin_epoch(self) -> Head:
        self.epochs += 1
        self.head = Head(f"e{self.epochs}", self.head.seq)
        return self.head


@asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Hub]:
    tasks = [asyncio.create_task(work()) for work in (hub.waking, hub.beating, hub.answering, hub.looking)]
    try:
        yield hub
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def listen(hub: Hub) -> Listener:
    listener, _ = await hub.listen(TENANT, SCOPE, Credential("1", session_id="a session"))
    return listener


async def nothing_left_to_do() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def hear_until(listener: Listener, wanted: Head) -> list[Head]:
    heard: list[Head] = []
    async with asyncio.timeout(SECONDS):
        async for head in listener:
            assert head is not None
            heard.append(head)
            if head == wanted:
                break
    return heard


STEPS = ("commit", "begin_epoch", "notice", "last_notice", "bare_notice", "finish", "listen", "look")


@settings(max_examples=400, deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=40))
def test_everybody_hears_of_the_final_head_and_never_of_an_older_one_later(steps: Sequence[str]) -> None:
    async def play() -> None:
        log = Log(slow=True)
        async with running(Hub(log.read, NEVER)) as hub:
            world = World(log, hub)
            for step in steps:
                getattr(world, step)()
                await nothing_left_to_do()
            await world.come_to_an_end()

    asyncio.run(play())


@dataclass
class World:
    """A log, a hub and its listeners. Every notice arrives in the end, none before its commit."""

    log: Log
    hub: Hub
    notices: deque[Head] = field(default_factory=deque)
    heard: list[list[Head]] = field(default_factory=list)
    _hearing: list[asyncio.Task[None]] = field(default_factory=list)

    def commit(self) -> None:
        self.notices.append(self.log.commit())

    def begin_epoch(self) -> None:
        self.notices.append(self.log.begin_epoch())

    def notice(self) -> None:
        if self.notices:
            self.hub.tell(TENANT, self.notices.popleft())

    def last_notice(self) -> None:
        if self.notices:
            self.hub.tell(TENANT, self.notices.pop())

    def bare_notice(self) -> None:
        if self.notices:
            self.notices.popleft()
            self.hub.tell(TENANT, None)

    def finish(self) -> None:
        self.log.finish()

    def look(self) -> None:
        self.hub.look_again()

    def listen(self) -> None:
        self.heard.append([])
        self._hearing.append(asyncio.create_task(self._hear(self.heard[-1])))

    async def _hear(self, heard: list[Head]) -> None:
        async for head in await listen(self.hub):
            assert head is not None
            heard.append(head)

    async def come_to_an_end(self) -> None:
        """Delivers what is under way, and waits until everybody knows the head."""
        self.log.slow = False
        for _ in range(len(self.notices)):
            self.notice()
        async with asyncio.timeout(1):
            while self.log.under_way or any(heard[-1:] != [self.log.head] for heard in self.heard):
                self.finish()
                await asyncio.sleep(0.001)
        for task in self._hearing:
            assert not task.done()
            task.cancel()
        for heard in self.heard:
            places = [(int(head.epoch[1:]), head.seq) for head in heard]
            assert places == sorted(set(places))


async def test_listener_is_in_its_room_before_the_head_is_read() -> None:
    log = Log(slow=True)
    async with running(Hub(log.read, NEVER)) as hub:
        listening = asyncio.create_task(listen(hub))
        await nothing_left_to_do()
        hub.tell(TENANT, log.commit())
        log.finish()
        listener = await listening
        log.slow = False
        log.finish()
        assert (await hear_until(listener, log.head))[-1] == log.head


async def test_those_who_come_together_share_a_reading() -> None:
    log = Log(slow=True)
    hub = Hub(log.read, NEVER)
    listening = [asyncio.create_task(listen(hub)) for _ in range(100)]
    readings = 0
    while not all(task.done() for task in listening):
        await nothing_left_to_do()
        readings += len(log.under_way)
        log.finish()
    assert readings == 2


async def test_listener_that_is_slow_gets_the_newest_head_alone() -> None:
    log = Log()
    async with running(Hub(log.read, NEVER)) as hub:
        listener = await listen(hub)
        assert await anext(listener) == log.head
        for _ in range(1000):
            hub.tell(TENANT, log.commit())
        assert await anext(listener) == log.head
        ahead = asyncio.ensure_future(anext(listener))
        await nothing_left_to_do()
        assert not ahead.done()
        hub.tell(TENANT, log.commit())
        assert await ahead == log.head


async def test_news_of_a_busy_tenant_are_told_apart_from_each_other_and_the_last_one_is() -> None:
    log = Log()
    async with running(Hub(log.read, Pace(heartbeat=1000, look=1000, spacing=0.1))) as hub:
        listener = await listen(hub)
        await anext(listener)
        hearing = asyncio.create_task(hear_until(listener, Head("e0", 60)))
        for _ in range(60):
            hub.tell(TENANT, log.commit())
            await asyncio.sleep(0.005)
        heard = await hearing
        assert heard[0] == Head("e0", 1)
        assert len(heard) < 15


async def test_log_that_was_set_back_is_told() -> None:
    """As when a standby takes over that lacked the last commits: devices then learn by pulling what to do."""
    log = Log()
    async with running(Hub(log.read, NEVER)) as hub:
        for _ in range(3):
            log.commit()
        listener = await listen(hub)
        assert (await anext(listener)) == Head("e0", 3)
        log.head = Head("e0", 1)
        hub.look_again()
        assert (await anext(listener)) == Head("e0", 1)


async def test_head_that_cannot_be_read_is_asked_for_until_it_can() -> None:
    log, failures = Log(), [OSError(), OSError()]

    async def read(scope: Scope) -> Head:
        if log.head.seq and failures:
            raise failures.pop()
        return await log.read(scope)

    async with running(Hub(read, Pace(heartbeat=1000, look=0.3))) as hub:
        listener = await listen(hub)
        await anext(listener)
        log.commit()
        hub.tell(TENANT, None)
        assert await hear_until(listener, log.head) == [log.head]
        assert not failures


async def test_what_nobody_told_of_is_found_by_looking() -> None:
    log = Log()
    async with running(Hub(log.read, Pace(heartbeat=1000, look=0.1))) as hub:
        listener = await listen(hub)
        await anext(listener)
        log.commit()
        assert await hear_until(listener, log.head) == [log.head]


async def test_stream_that_is_given_up_before_it_began_leaves_no_listener() -> None:
    hub = Hub(Log().read, NEVER)
    listener = await listen(hub)
    assert len(hub) == 1
    del listener
    assert len(hub) == 0


async def test_listeners_of_a_hub_that_stops_end_and_so_do_those_that_come_later() -> None:
    async with running(Hub(Log().read, NEVER)) as hub:
        early = await listen(hub)
        await anext(early)
        waiting = asyncio.ensure_future(anext(early, None))
        await nothing_left_to_do()
        hub.stop()
        assert await waiting is None
        with suppress(StopAsyncIteration):
            raise AssertionError(f"was told {await anext(await listen(hub))}")
