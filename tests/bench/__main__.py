"""`python -m tests.bench`: measures, prints the table and writes it as JSON."""

import argparse
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from rich.console import Console

from tests.bench.many_tenants import measure_many_tenants
from tests.bench.profiling import WORKLOADS, profile
from tests.bench.pull import measure_reading
from tests.bench.push import measure_pushes
from tests.bench.report import Report
from tests.bench.servers import running_bench
from tests.bench.stored import measure_stored

_WIDE = 190

SECTIONS: dict[str, Callable[..., None]] = {
    "push": measure_pushes,
    "pull": measure_reading,
    "fill": measure_stored,
    "tenants": measure_many_tenants,
}


def main() -> None:
    """Reads what is wanted, measures it and tells."""
    wanted = _parser().parse_args()
    if wanted.profile:
        profile(wanted.profile, wanted.batch)
        return
    began = monotonic()
    progress = Console(stderr=True)
    report = Report(_facts(wanted), lambda line: progress.print(f"[dim]{line.section}: {line.what}", highlight=False))
    arguments = ("--workers", str(wanted.workers)) if wanted.workers else ()
    try:
        with running_bench(*arguments) as bench:
            for name in wanted.only or SECTIONS:
                SECTIONS[name](bench, report, quick=wanted.quick)
    finally:
        # What was measured is told, whatever went wrong behind it.
        report.facts["took"] = f"{monotonic() - began:.0f} s"
        wanted.json.write_bytes(report.as_json())
        Console(width=None if sys.stdout.isatty() else _WIDE).print(report.as_table())


def _facts(wanted: argparse.Namespace) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "workers": wanted.workers or 1,
        "quick": wanted.quick,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description="Croft beside a floor of plain asyncpg, in one table."
    )
    parser.add_argument("--quick", action="store_true", help="a minute: few sizes")
    parser.add_argument("--only", action="append", choices=list(SECTIONS), help="one section; may be given again")
    parser.add_argument("--workers", type=int, default=0, help="processes of `croft serve`")
    parser.add_argument("--profile", choices=WORKLOADS, help="instead: where the server's time goes")
    parser.add_argument("--batch", type=int, default=100, help="events in a push that is profiled")
    parser.add_argument("--json", type=Path, default=Path("bench.json"), help="where the table goes for programs")
    return parser


if __name__ == "__main__":
    main()
