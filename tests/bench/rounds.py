"""Short rounds of both sides in turn: what else the machine does meanwhile then slows both alike."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median, quantiles

from tests.bench.timing import Run


@dataclass(slots=True)
class Rounds:
    """What the rounds of one measurement gave."""

    croft: list[Run] = field(default_factory=list)
    floor: list[Run] = field(default_factory=list)

    def add(self, croft: Run, floor: Run) -> None:
        """Notes a round, in which both have to have handled as many rows."""
        assert croft.rows == floor.rows, f"Croft handled {croft.rows} rows, the floor {floor.rows}"
        self.croft.append(croft)
        self.floor.append(floor)

    @property
    def croft_rate(self) -> float:
        """Rows a second in the middle one of the rounds."""
        return median(run.rate for run in self.croft)

    @property
    def floor_rate(self) -> float:
        """The same of the floor's."""
        return median(run.rate for run in self.floor)

    @property
    def answered_rate(self) -> float | None:
        """The same up to Croft's last answer, where work follows that nobody waits for."""
        rates = [run.answered_rate for run in self.croft if run.answered_rate is not None]
        return median(rates) if rates else None

    @property
    def ratio(self) -> float:
        """Croft to the floor in the middle one of the rounds, each compared with its own neighbour."""
        return median(self._ratios)

    @property
    def spread(self) -> tuple[float, float]:
        """The smallest and the largest ratio of a round."""
        return min(self._ratios), max(self._ratios)

    @property
    def _ratios(self) -> list[float]:
        return [croft.rate / floor.rate for croft, floor in zip(self.croft, self.floor, strict=True)]


def p95_ms(runs: Iterable[Run]) -> float | None:
    """The time within which 95 of 100 requests were answered, in milliseconds."""
    took = [each for run in runs for each in run.took]
    return quantiles(took, n=20)[-1] * 1000 if len(took) > 1 else None
