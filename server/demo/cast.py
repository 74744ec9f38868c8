"""Who and what takes part in the story."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.demo.forms import Data
from server.demo.narrator import Narrator
from server.demo.old_copy import OldCopy
from server.demo.people import Population
from server.demo.phone import Account, Phone, Phones
from server.demo.remote import Session

_LIST_PAGE = 1000

Contents = dict[str, tuple[Data, frozenset[str]]]
"""The data and the members of every record, by guid."""


@dataclass(frozen=True, slots=True)
class Programme:
    """A tenant of the server: its config id and where phones load its config from."""

    config_id: str
    name: str
    artifact_id: str


@dataclass(slots=True)
class Figures:
    """What was measured: events and seconds of the field week, records and seconds of the phone that joins late."""

    events: int = 0
    sending_seconds: float = 0.0
    records: int = 0
    joining_seconds: float = 0.0


@dataclass(slots=True)
class Cast:
    """Amina and Teo collect for one programme, Oksana administers it, Ines joins late; Keo collects next door.

    `rosa` and `rosas_household` are guids of the two records that most of the story is about.
    """

    narrator: Narrator
    population: Population
    now: datetime
    operator: Session
    phones: Phones
    oksana: Session
    amina: Phone
    teo: Phone
    ines: Account
    keo: Account
    programme: Programme
    next_door: Programme
    rosa: str = ""
    rosas_household: str = ""
    figures: Figures = field(default_factory=Figures)

    def server_count(self) -> int:
        """How many records the server counts in the programme."""
        return int(self.operator.get("/api/entities/count", configId=self.programme.config_id)["count"])

    def server_record(self, guid: str, part: str = "") -> Any:
        """One record as the server shows it, or a part of what it knows of the record, such as `/history`."""
        return self.operator.get(f"/api/entities/{guid}{part}", configId=self.programme.config_id)

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


def contents(phone: Phone) -> Contents:
    """All that a phone shows."""
    return {each.guid: (each.data, frozenset(each.member_ids)) for each in phone.device.entities()}


def old_contents(copy: OldCopy) -> Contents:
    """All that a phone of those in use shows."""
    return {each.guid: (each.data, frozenset(each.members)) for each in copy}


def differences(ours: Contents, theirs: Contents) -> list[str]:
    """The names of the records that two phones do not show alike.

    The mark `type`, which phones in use keep in the data of some groups, makes no difference.
    """
    differing = [guid for guid in ours.keys() | theirs.keys() if _unmarked(ours, guid) != _unmarked(theirs, guid)]
    return sorted(str((ours.get(guid) or theirs[guid])[0].get("name", guid)) for guid in differing)


def _unmarked(shown: Contents, guid: str) -> tuple[Data, frozenset[str]] | None:
    if guid not in shown:
        return None
    data, members = shown[guid]
    return {key: value for key, value in data.items() if key != "type"}, members
