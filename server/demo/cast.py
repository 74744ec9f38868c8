"""Who and what takes part in the story."""

from dataclasses import dataclass, field
from datetime import datetime

from server.demo.local_copy import Data
from server.demo.narrator import Narrator
from server.demo.people import Population
from server.demo.phone import Phone
from server.demo.remote import Session

_LIST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Programme:
    """A tenant of the server: its config id and where phones load its config from."""

    config_id: str
    name: str
    artifact_id: str


@dataclass(slots=True)
class Figures:
    """What was measured, of the mass registration alone: events sent, records received, and the seconds for each."""

    events: int = 0
    sending_seconds: float = 0.0
    received: int = 0
    receiving_seconds: float = 0.0


@dataclass(slots=True)
class Cast:
    """Amina and Teo collect for one programme, Oksana reviews what they bring; Keo collects for the one next door.

    `rosa` and `rosas_household` are guids of the two records that most of the story is about.
    """

    narrator: Narrator
    population: Population
    now: datetime
    operator: Session
    oksana: Session
    amina: Phone
    teo: Phone
    keo: Phone
    programme: Programme
    next_door: Programme
    rosa: str = ""
    rosas_household: str = ""
    figures: Figures = field(default_factory=Figures)

    def server_count(self) -> int:
        """How many records the server counts in the programme."""
        return int(self.operator.get("/api/entities/count", configId=self.programme.config_id)["count"])

    def server_record(self, guid: str) -> Data:
        """One record as the server shows it."""
        found: Data = self.operator.get(f"/api/entities/{guid}", configId=self.programme.config_id)
        return found

    def server_data(self) -> dict[str, Data]:
        """The data of every record on the server, by guid."""
        pages = range(1, self.server_count() // _LIST_PAGE + 2)
        rows = [row for page in pages for row in self._page(page)]
        return {row["guid"]: row["data"] for row in rows}

    def _page(self, page: int) -> list[Data]:
        rows: list[Data] = self.operator.get(
            "/api/entities", configId=self.programme.config_id, limit=_LIST_PAGE, page=page
        )
        return rows


def contents(phone: Phone) -> dict[str, tuple[Data, frozenset[str]]]:
    """All that a phone shows: the data and the members of every record, by guid."""
    return {record.guid: (record.data, frozenset(record.members)) for record in phone.copy}


def differences(one: Phone, other: Phone) -> list[str]:
    """The names of the records that two phones do not show alike."""
    ours, theirs = contents(one), contents(other)
    differing = [guid for guid in ours.keys() | theirs.keys() if ours.get(guid) != theirs.get(guid)]
    return sorted(str((ours.get(guid) or theirs[guid])[0].get("name", guid)) for guid in differing)
