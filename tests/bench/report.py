"""The one table: a line for each measurement, with what was aimed at beside it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import orjson
from rich.table import Table

from tests.bench.memory import Footprint
from tests.bench.rounds import Rounds, p95_ms


@dataclass(frozen=True, slots=True)
class Line:
    """One measurement. `croft` and `floor` are rows a second; `answered` is Croft's rate up to its last answer alone.

    `aim` is the least that `ratio` should be; `note` says what is unlike the other lines.
    """

    section: str
    what: str
    croft: float | None
    answered: float | None
    floor: float | None
    ratio: float | None
    spread: tuple[float, float] | None = None
    aim: float | None = None
    p95_ms: float | None = None
    floor_p95_ms: float | None = None
    footprint: Footprint | None = None
    note: str = ""


@dataclass
class Report:
    """The lines so far, and what tells them from those of another run. `tell` is called with each as it is added."""

    facts: dict[str, Any]
    tell: Callable[[Line], None]
    lines: list[Line] = field(default_factory=list)

    def add(
        self,
        section: str,
        what: str,
        rounds: Rounds,
        *,
        footprint: Footprint,
        aim: float | None = None,
        note: str = "",
    ) -> None:
        """A measurement against the floor."""
        self._add(
            Line(
                section,
                what,
                rounds.croft_rate,
                rounds.answered_rate,
                rounds.floor_rate,
                rounds.ratio,
                rounds.spread,
                aim,
                p95_ms(rounds.croft),
                p95_ms(rounds.floor),
                footprint,
                note,
            )
        )

    def compare(self, section: str, what: str, one: float, other: float, *, aim: float | None = None) -> None:
        """How much of the one figure is left in the other."""
        self._add(Line(section, what, None, None, None, other / one, aim=aim))

    def _add(self, line: Line) -> None:
        self.lines.append(line)
        self.tell(line)

    def as_json(self) -> bytes:
        """For programs."""
        return orjson.dumps({**self.facts, "lines": [asdict(line) for line in self.lines]}, option=orjson.OPT_INDENT_2)

    def as_table(self) -> Table:
        """For people."""
        table = Table(title="Croft beside the floor", caption=", ".join(f"{k} {v}" for k, v in self.facts.items()))
        table.add_column("what")
        for name in _NUMBERS:
            table.add_column(name, justify="right", no_wrap=True)
        section = ""
        for line in self.lines:
            if line.section != section:
                section = line.section
                table.add_section()
                table.add_row(f"[bold]{section}")
            table.add_row(*_cells(line))
        return table


_NUMBERS: Final = (
    *("Croft /s", "answered /s", "floor /s", "ratio", "spread", "aim", "p95 ms", "floor p95"),
    *("croft MB", "backends MB", "conns"),
)


def _cells(line: Line) -> list[str]:
    footprint = line.footprint or Footprint(None, None, 0)
    return [
        line.what + (f" [dim]({line.note})" if line.note else ""),
        _number(line.croft, ",.0f"),
        _number(line.answered, ",.0f"),
        _number(line.floor, ",.0f"),
        _judged(line),
        f"{line.spread[0]:.2f}-{line.spread[1]:.2f}" if line.spread else "",
        _number(line.aim, ".2f"),
        _number(line.p95_ms, ",.1f"),
        _number(line.floor_p95_ms, ",.1f"),
        _number(footprint.croft_mb, ",.0f"),
        _number(footprint.backends_mb, ",.0f"),
        str(footprint.connections) if line.footprint else "",
    ]


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _judged(line: Line) -> str:
    if line.ratio is None or line.aim is None:
        return _number(line.ratio, ".2f")
    return f"[{'green' if line.ratio >= line.aim else 'red'}]{line.ratio:.2f}"
