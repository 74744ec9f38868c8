"""What one run of a load took."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Run:
    """How many rows went over in how many seconds, and how long each request took.

    `answered`: after how many seconds the last answer had come, where work follows that nobody waits for. `bytes`:
    where they were counted.
    """

    rows: int = 0
    seconds: float = 0.0
    answered: float | None = None
    bytes: int = 0
    took: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds

    @property
    def answered_rate(self) -> float | None:
        """Rows a second until the last answer."""
        return None if self.answered is None else self.rows / self.answered
