"""Whose large requests are worked on at once."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.http.turns import Turns


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Office:
    """Holds turns until they are ended."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.inside: list[tuple[str, int]] = []
        self.tasks: dict[tuple[str, int], asyncio.Task[None]] = {}
        self.ends: dict[tuple[str, int], asyncio.Event] = {}

    async def come(self, name: str, number: int) -> None:
        self.turns.saw(name)
        who = (name, number)
        self.ends[who] = asyncio.Event()
        self.tasks[who] = asyncio.create_task(self._hold(who))
        await self._settle()

    async def _hold(self, who: tuple[str, int]) -> None:
        async with self.turns.turn_of(who[0]):
            self.inside.append(who)
            try:
                await self.ends[who].wait()
            finally:
                self.inside.remove(who)

    async def end(self, *who: tuple[str, int]) -> None:
        for each in who:
            self.ends[each].set()
        await self._settle()

    async def give_up(self, who: tuple[str, int]) -> None:
        self.tasks[who].cancel()
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_tenant_that_is_alone_has_several_turns_at_once() -> None:
    office = Office()
    for number in range(6):
        await office.come("north", number)
    assert office.inside == [("north", number) for number in range(2)]
    await office.end(("north", 1))
    assert office.inside == [("north", 0), ("north", 2)]
    await office.end(*office.ends)
    await asyncio.gather(*office.tasks.values())


async def test_tenant_with_others_beside_it_has_one_turn_at_a_time_until_they_have_gone() -> None:
    office = Office()
    office.turns.saw("south")
    for number in range(4):
        await office.come("north", number)
    await office.come("south", 0)
    assert office.inside == [("north", 0), ("south", 0)]
    office.clock.now += 2
    await office.end(("north", 0))
    assert office.inside == [("south", 0), ("north", 1), ("north", 2)]
    await office.end(*office.ends)
    await asyncio.gather(*office.tasks.values())


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["come", "end", "give up", "wait"])), max_size=40))
async def test_nobody_waits_for_ever_and_nothing_is_kept(steps: list[tuple[str, str]]) -> None:
    office, numbers = Office(), Counter[str]()
    for name, step in steps:
        mine = [who for who, task in office.tasks.items() if who[0] == name and not task.done()]
        if step == "come":
            numbers[name] += 1
            await office.come(name, numbers[name])
        elif step == "wait":
            office.clock.now += 0.6
        elif mine and step == "end":
            await office.end(mine[0])
        elif mine:
            await office.give_up(mine[-1])
        held = Counter(name for name, _ in office.inside)
        assert max(held.values(), default=0) <= 2
        for each in "ab":
            waits = any(who[0] == each and not task.done() for who, task in office.tasks.items())
            assert bool(held[each]) == waits, "a turn is free and somebody waits for one"
    await office.end(*office.ends)
    await asyncio.gather(*office.tasks.values(), return_exceptions=True)
    assert office.turns._lines == {}
