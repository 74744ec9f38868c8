"""What an import found: counted and told by its reasons, with a few examples, and the whole of it as lines of JSON."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Final

from server.kit.strict_json import dump_json

MOST_EXAMPLES: Final = 3


class Heading(StrEnum):
    """Under which an operator reads of something."""

    REFUSED = "refused"
    CHANGED = "changed"
    DIFFERS = "differs"
    NOTED = "noted"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the other server of which there is something to tell: where it stands there, and why it is told.

    `reason` is the same sentence for all findings of a kind; `path` and `detail` are this one's own.
    """

    heading: Heading
    reason: str
    tenant: str = ""
    table: str = ""
    row: str = ""
    path: str = ""
    detail: str = ""


@dataclass(slots=True)
class Group:
    """All findings of one reason: how many, and the first of them."""

    count: int = 0
    examples: list[Finding] = field(default_factory=list)


class Report:
    """Collects findings and counts. `write` is given each finding as a line of JSON, as soon as it is known."""

    def __init__(self, write: Callable[[bytes], object] | None = None) -> None:
        self._write = write
        self._groups: dict[tuple[Heading, str], Group] = defaultdict(Group)
        self.counts: dict[str, Counter[str]] = defaultdict(Counter)
        """By tenant: how much of each was read, taken, known, refused."""

    def add(self, finding: Finding) -> None:
        """Notes a finding."""
        group = self._groups[finding.heading, finding.reason]
        group.count += 1
        if len(group.examples) < MOST_EXAMPLES:
            group.examples.append(finding)
        if self._write is not None:
            said = {key: value for key, value in asdict(finding).items() if value != ""}
            self._write(dump_json(said) + b"\n")

    def add_all(self, findings: Iterable[Finding]) -> None:
        """Notes findings."""
        for finding in findings:
            self.add(finding)

    def groups(self, heading: Heading) -> list[tuple[str, Group]]:
        """The reasons under a heading: first those about whole tenants, then the most frequent."""
        found = [(reason, group) for (of, reason), group in self._groups.items() if of == heading]
        return sorted(found, key=lambda each: (each[1].examples[0].table != "app_configs", -each[1].count))


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
