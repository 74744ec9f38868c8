"""One tenant against many: the same clients, all on one of them or spread over all."""

from typing import Final

from tests.bench.load import V2
from tests.bench.push import warm_up
from tests.bench.report import Report
from tests.bench.rounds import Rounds
from tests.bench.servers import Bench, Pair
from tests.bench.sides import PushSides, Shape

SECTION: Final = "pushes to many tenants, events"
AIM: Final = 0.8

_TENANTS: Final = 200
_QUICK: Final = 20
_CLIENTS: Final = 8
_BATCH: Final = 100
_ROUNDS: Final = 4


def measure_many_tenants(bench: Bench, report: Report, *, quick: bool) -> None:
    """Adds both, and what is left of the rate on one tenant when the clients are spread over many."""
    amount = _QUICK if quick else _TENANTS
    pairs = bench.new_pairs(amount)
    shape = Shape(_BATCH, _CLIENTS, amount * _BATCH)
    one, many = Rounds(), Rounds()
    with PushSides(bench, V2) as sides:
        _meet_everyone(sides, pairs, shape)
        for _ in range(_ROUNDS):
            one.add(*sides.round(pairs[:1], shape, amount))
            before = bench.footprint()
            many.add(*sides.round(pairs, shape, amount))
        sides.check(pairs)
    report.add(SECTION, "1 tenant", one, footprint=before)
    report.add(SECTION, f"{amount} tenants", many, footprint=bench.footprint())
    report.compare(SECTION, f"{amount} tenants to 1", one.croft_rate, many.croft_rate, aim=AIM)
    report.compare(SECTION, f"{amount} tenants to 1, the floor", one.floor_rate, many.floor_rate)


def _meet_everyone(sides: PushSides, pairs: list[Pair], shape: Shape) -> None:
    """So often that most connections have met most tenants, as in a server that has run for some hours."""
    warm_up(sides, pairs[:1], shape)
    for _ in range(shape.clients):
        sides.round(pairs, Shape(1, shape.clients, 0), len(pairs))
