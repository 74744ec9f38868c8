"""How much memory the server and its connections take, and how many of these there are."""

from dataclasses import dataclass
from pathlib import Path

from tests.bench.connection import APPLICATION, connected

_MB = 1024


@dataclass(frozen=True, slots=True)
class Footprint:
    """croft_mb: resident memory of all of the server's processes. backends_mb: what its connections' backends hold for
    themselves, shared buffers not counted. None where the system does not tell. connections: how many it has open."""

    croft_mb: float | None
    backends_mb: float | None
    connections: int


async def footprint(pid: int, superuser_dsn: str) -> Footprint:
    """The footprint of the server with this process id, as it is now."""
    async with connected(superuser_dsn) as db:
        rows = await db.fetch(
            "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> $1",
            APPLICATION,
        )
    croft = [_read(f"/proc/{each}/status", "VmRSS") for each in (pid, *_descendants(pid))]
    backends = [_read(f"/proc/{row['pid']}/smaps_rollup", "Pss_Anon") for row in rows]
    return Footprint(_sum_mb(croft), _sum_mb(backends), len(rows))


def _descendants(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    children = [int(each) for each in text.split()]
    return children + [below for child in children for below in _descendants(child)]


def _read(path: str, name: str) -> int | None:
    """Kilobytes."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def _sum_mb(kilobytes: list[int | None]) -> float | None:
    known = [each for each in kilobytes if each is not None]
    return sum(known) / _MB if known else None
