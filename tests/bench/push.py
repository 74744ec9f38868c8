"""Pushes to an empty tenant, by the size of a batch and the number of clients."""

from typing import Any, Final

from tests.bench.load import V1, V2
from tests.bench.report import Report
from tests.bench.servers import Bench, Pair
from tests.bench.sides import PushSides, Shape

SECTION: Final = "push, events"
AIM: Final = 0.5
AIM_OF_SMALL: Final = 0.35

_SHAPES: Final = [
    Shape(size, clients, events)
    for size, events in ((10, 1_500), (100, 5_000), (1_000, 10_000), (10_000, 20_000))
    for clients in (1, 8)
]
_QUICK: Final = [Shape(10, 1, 1_000), Shape(100, 1, 4_000), Shape(100, 8, 4_000), Shape(1_000, 1, 5_000)]
_ALIKE: Final = [Shape(100, 1, 5_000), Shape(1_000, 1, 10_000)]
_NO_RULES: Final[dict[str, Any]] = {"duplicates": {"rules": []}}


def measure_pushes(bench: Bench, report: Report, *, quick: bool) -> None:
    """Adds a line for each size of a batch and number of clients, on new tenants each."""
    for shape in _QUICK if quick else _SHAPES:
        _measure(bench, report, V2, shape, quick=quick)
    for shape in _ALIKE[:1] if quick else _ALIKE:
        _measure(bench, report, V2, shape, quick=quick, note="no rules for duplicates", **_NO_RULES)
    _measure(bench, report, V1, _ALIKE[0], quick=quick, note="as old phones push")


def aim_of(size: int) -> float:
    """The least that Croft should reach of the floor with batches of the size."""
    return AIM if size >= 100 else AIM_OF_SMALL


def _measure(
    bench: Bench, report: Report, path: str, shape: Shape, *, quick: bool, note: str = "", **config: Any
) -> None:
    pair = bench.new_pair(**config)
    with PushSides(bench, path) as sides:
        warm_up(sides, [pair], shape)
        rounds = sides.rounds([pair], shape, 3 if quick or shape.size > 1_000 else 5)
        what = f"batch {shape.size:,}, {clients_of(shape)}"
        report.add(SECTION, what, rounds, aim=aim_of(shape.size), footprint=bench.footprint(), note=note)


def warm_up(sides: PushSides, pairs: list[Pair], shape: Shape) -> None:
    """A short round that does not count: connections are opened, statements prepared, each client and tenant met."""
    sides.round(pairs, Shape(min(shape.size, 100), shape.clients, 0), max(2 * shape.clients, len(pairs)))


def clients_of(shape: Shape) -> str:
    """How many clients, in words."""
    return "1 client" if shape.clients == 1 else f"{shape.clients} clients"
