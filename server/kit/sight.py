"""What somebody may not see of an organization's records."""

import hashlib
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Sight:
    """The forms whose records are hidden from a caller; none for most.

    Two sights with the same forms are equal, whatever their order.
    """

    hidden: frozenset[str] = frozenset()

    @property
    def forms(self) -> str:
        """The hidden forms as a JSON list, empty for none."""
        return orjson.dumps(sorted(self.hidden)).decode() if self.hidden else ""

    @property
    def mark(self) -> str:
        """What tells the log as it is seen from any other view of it: letters and digits, empty where all is seen."""
        return f"x{hashlib.sha256(self.forms.encode()).hexdigest()[:12]}" if self.hidden else ""


EVERYTHING = Sight()
"""Nothing is hidden."""
