"""Reading everything that a tenant holds: pages, streams, and a device that asks whether there is anything new."""

from typing import Final

from tests.bench.fill import Filling
from tests.bench.floor_read import BEGINNING, ENTITIES, EVENTS, FEED, HEAD
from tests.bench.people import MARKER
from tests.bench.reading import NDJSON
from tests.bench.report import Report
from tests.bench.servers import Bench, Pair
from tests.bench.sides import Pages, ReadSides, Stream

SECTION: Final = "reading, rows"
AIM: Final = 0.6
PAGE: Final = 1_000

_PULL: Final = "/api/v2/sync/pull"
_SNAPSHOT: Final = "/api/v2/sync/snapshot"
_OLD_PULL: Final = "/api/sync/pull?since="
_OLD_PAGE: Final = 100
_STORED: Final = 100_000
_MANY_ROUNDS: Final = 5
_FEW_ROUNDS: Final = 3


def measure_reading(bench: Bench, report: Report, *, quick: bool) -> None:
    """Adds the ways of reading one tenant."""
    pair = filled_pair(bench, _STORED // 5 if quick else _STORED)
    with ReadSides(bench, pair) as sides:
        _measure_new(bench, sides, report, quick=quick)
        old = Pages(_OLD_PULL, MARKER, [""], FEED, [BEGINNING], 20, _OLD_PAGE)
        rounds = sides.pages(old, _FEW_ROUNDS)
        report.add(SECTION, f"pages of {_OLD_PAGE}", rounds, footprint=bench.footprint(), note="as old phones pull")


def filled_pair(bench: Bench, stored: int) -> Pair:
    """A pair of tenants that hold so many people."""
    pair = bench.new_pair()
    filling = Filling(bench.superuser_dsn)
    filling.make_people(stored)
    filling.fill(pair.scopes, stored)
    return pair


def pages(sides: ReadSides, clients: int) -> Pages:
    """Twenty pages for each client, or as many as there are, each from a place of its own."""
    requests = min(20, sides.head // PAGE // clients)
    places = [client * (sides.head // clients) for client in range(clients)]
    return Pages(
        f"{_PULL}?limit={PAGE}&cursor=",
        MARKER,
        [f"{sides.epoch}.{place}" for place in places],
        EVENTS,
        [str(place) for place in places],
        requests,
        PAGE,
    )


def stream(sides: ReadSides) -> Stream:
    """The last 50,000 events, or all."""
    after = max(0, sides.head - 50_000)
    return Stream(f"{_PULL}?cursor={sides.epoch}.{after}", NDJSON, EVENTS, str(after), sides.head - after)


def snapshot(sides: ReadSides, encoding: str = "identity") -> Stream:
    """Every entity."""
    return Stream(_SNAPSHOT, NDJSON, ENTITIES, BEGINNING, sides.live, encoding)


def _measure_new(bench: Bench, sides: ReadSides, report: Report, *, quick: bool) -> None:
    for clients in (1,) if quick else (1, 8):
        rounds = sides.pages(pages(sides, clients), _MANY_ROUNDS)
        what = f"pages of {PAGE:,}, {'1 client' if clients == 1 else f'{clients} clients'}"
        report.add(SECTION, what, rounds, aim=AIM, footprint=bench.footprint())
    rounds = sides.stream(stream(sides), _MANY_ROUNDS)
    report.add(SECTION, "NDJSON", rounds, aim=AIM, footprint=bench.footprint())
    for encoding in ("identity", "gzip", "zstd"):
        rounds = sides.stream(snapshot(sides, encoding), _MANY_ROUNDS if encoding == "identity" else _FEW_ROUNDS)
        aim = AIM if encoding == "identity" else None
        packed = rounds.croft[-1].bytes / 1_000_000
        note = f"{encoding}, {packed:,.1f} MB"
        report.add(SECTION, "snapshot", rounds, aim=aim, footprint=bench.footprint(), note=note)
    poll = Pages(f"{_PULL}?limit={PAGE}&cursor=", "", [f"{sides.epoch}.{sides.head}"], HEAD, [BEGINNING], 200, 1)
    report.add(SECTION, "nothing new", sides.pages(poll, _FEW_ROUNDS), footprint=bench.footprint(), note="requests")
