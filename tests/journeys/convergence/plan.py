"""A plan: who takes part and what happens, step by step, drawn from a seed; and how to shorten one that fails.

A step's numbers are turned into entities and values only when it is its turn, by what there is then. So every part of
a plan is a plan, too, and can be run by itself.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Self

KINDS = ("keeps", "lean", "whole", "old")
"""Devices of the library that keep what they pull, that do not, and that get the whole log first; installed phones."""

_ACTS = {
    "register": 6,
    "found": 4,
    "edit": 10,
    "save-form": 5,
    "enlarge": 2,
    "add-new": 3,
    "add-known": 5,
    "remove": 4,
    "delete": 2,
    "revive": 2,
    "custom": 1,
    "resolve": 1,
    "together": 1,
    "sync": 14,
    "sync-badly": 16,
    "rush": 3,
    "deliver": 4,
    "crash": 3,
    "reopen": 1,
    "sign-in": 1,
    "set-clock": 1,
    "join": 1,
    "twin": 1,
    "intrude": 1,
}
_MOVING = {"begin-epoch": 1}
_WILD = {"edit-unseen": 3, "back-up": 1, "restore": 1, "begin-epoch": 1}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens: what, to whom, and numbers to choose with."""

    act: str
    who: int
    numbers: tuple[int, int, int]

    def __str__(self) -> str:
        return " ".join(map(str, (self.act, self.who, *self.numbers)))

    @classmethod
    def read(cls, text: str) -> Self:
        act, who, *numbers = text.split()
        one, two, three = map(int, numbers)
        return cls(act, int(who), (one, two, three))


@dataclass(frozen=True, slots=True)
class Plan:
    """`cast` are the kinds of the devices; `page` how many entities or events the server gives at once.

    In a wild plan groups may be in each other in circles, and the server may be restored from a backup: what phones
    cannot bear.
    """

    cast: tuple[str, ...]
    page: int
    is_wild: bool
    steps: tuple[Step, ...]

    def __str__(self) -> str:
        head = f"{' '.join(self.cast)} | {self.page} | {'wild' if self.is_wild else 'tame'}"
        return "; ".join([head, *map(str, self.steps)])

    @classmethod
    def read(cls, text: str) -> Self:
        """The plan that was written so."""
        head, *steps = text.split("; ")
        cast, page, kind = head.split(" | ")
        return cls(tuple(cast.split()), int(page), kind == "wild", tuple(map(Step.read, steps)))

    @classmethod
    def drawn(cls, seed: int, length: int) -> Self:
        """The plan of this seed."""
        random = Random(seed)
        is_wild = random.random() < 0.35
        kinds = KINDS[:-1] if is_wild else KINDS
        cast = [random.choice(kinds) for _ in range(random.randint(1, 3))]
        cast += [] if is_wild else ["old"] * random.randint(1, 2)
        cast += ["keeps"] if len(cast) < 2 or cast.count("old") == len(cast) else []
        weights = _ACTS | (_WILD if is_wild else _MOVING if random.random() < 0.4 else {})
        acts = random.choices(list(weights), list(weights.values()), k=length)
        page = random.choice((1, 2, 3, 7, 100, 1000))
        return cls(tuple(cast), page, is_wild, tuple(_step(random, act) for act in acts))


def _step(random: Random, act: str) -> Step:
    one, two, three = (random.randrange(1000) for _ in range(3))
    return Step(act, random.randrange(1000), (one, two, three))


def shortened(plan: Plan, fails: Callable[[Plan], bool], *, seconds: float) -> Plan:
    """A plan of as few of its steps as can be found in that time with which it still fails."""
    until = time.monotonic() + seconds
    size = len(plan.steps) // 2
    while size:
        at = 0
        while at < len(plan.steps) and time.monotonic() < until:
            less = replace(plan, steps=_without(plan.steps, at, size))
            if fails(less):
                plan = less
            else:
                at += size
        size //= 2
    return plan


def _without(steps: Sequence[Step], at: int, size: int) -> tuple[Step, ...]:
    return (*steps[:at], *steps[at + size :])
