"""The same with more and more events stored: what Croft reaches of the floor should stay what it is when empty."""

from typing import Final

from tests.bench import pull
from tests.bench.fill import Filling
from tests.bench.load import V2
from tests.bench.push import AIM as PUSH_AIM
from tests.bench.push import warm_up
from tests.bench.report import Report
from tests.bench.rounds import Rounds
from tests.bench.servers import Bench, Pair
from tests.bench.sides import PushSides, ReadSides, Shape

SECTION: Final = "with events stored"
AIM: Final = 0.85

_LEVELS: Final = (0, 10_000, 100_000, 1_000_000)
_QUICK: Final = (0, 5_000, 50_000)
_SHAPES: Final = (Shape(100, 1, 3_000), Shape(1_000, 1, 5_000))
_LARGE: Final = 200_000
"""With more entities than that one snapshot is enough: it takes long and is long enough to be steady."""


def measure_stored(bench: Bench, report: Report, *, quick: bool) -> None:
    """Adds pushes, pages, streams and snapshots with more and more stored, then how the ratios held."""
    levels = _QUICK if quick else _LEVELS
    filling = Filling(bench.superuser_dsn)
    filling.make_people(levels[-1])
    ratios: dict[str, dict[int, float]] = {}
    for level in levels:
        pair = bench.new_pair()
        if level:
            filling.fill(pair.scopes, level)
        measured = _pushes(bench, pair, quick=quick)
        if level:
            measured |= _readings(bench, pair, quick=quick)
        for what, (rounds, aim) in measured.items():
            ratios.setdefault(what, {})[level] = rounds.ratio
            report.add(SECTION, f"{level:,} stored: {what}", rounds, aim=aim, footprint=bench.footprint())
    _compare(report, ratios, levels[-1])


def _pushes(bench: Bench, pair: Pair, *, quick: bool) -> dict[str, tuple[Rounds, float]]:
    with PushSides(bench, V2) as sides:
        measured = {}
        for shape in _SHAPES:
            warm_up(sides, [pair], shape)
            measured[f"push batch {shape.size:,}"] = sides.rounds([pair], shape, 3 if quick else 5), PUSH_AIM
        return measured


def _readings(bench: Bench, pair: Pair, *, quick: bool) -> dict[str, tuple[Rounds, float]]:
    with ReadSides(bench, pair) as sides:
        amount = 3 if quick else 5
        return {
            "pages of 1,000": (sides.pages(pull.pages(sides, 1), amount), pull.AIM),
            "NDJSON": (sides.stream(pull.stream(sides), amount), pull.AIM),
            "snapshot": (sides.stream(pull.snapshot(sides), 1 if sides.live > _LARGE else 3), pull.AIM),
        }


def _compare(report: Report, ratios: dict[str, dict[int, float]], last: int) -> None:
    """Pushes are compared with those to an empty tenant, reading with the least that was stored."""
    for what, by_level in ratios.items():
        first = min(by_level)
        if first == last:
            continue
        name = f"{what}: ratio with {last:,} stored to that with {first:,}"
        report.compare(SECTION, name, by_level[first], by_level[last], aim=AIM)
