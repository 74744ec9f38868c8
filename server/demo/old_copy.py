"""What a phone in use shows: its own copy of the records, changed by events alone, its own and those that it pulls."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from server.demo.forms import Data

INDIVIDUAL = "individual"
GROUP = "group"


@dataclass(slots=True)
class Record:
    """A person or a household as the phone shows it. `members` are guids, for groups only."""

    guid: str
    type: str
    data: Data = field(default_factory=dict)
    members: list[str] = field(default_factory=list)


class OldCopy:
    """The records by guid.

    A create or update changes the fields it names and adds the members it lists; who is listed as a member is written
    anew; a group that is deleted takes its members along.
    """

    def __init__(self) -> None:
        self._records: dict[str, Record] = {}

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, guid: str) -> bool:
        return guid in self._records

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records.values())

    def __getitem__(self, guid: str) -> Record:
        """Raises KeyError."""
        return self._records[guid]

    def apply(self, event: Data) -> None:
        """Raises ValueError for an event that cannot be applied."""
        guid, data = event["entityGuid"], event["data"]
        match event["type"]:
            case "create-individual" | "update-individual":
                self._write(guid, INDIVIDUAL, data)
            case "create-group" | "update-group":
                self._write(guid, GROUP, data)
            case "add-member":
                self._add_members(self._group(guid), data["members"][:1])
            case "remove-member":
                self._remove_member(self._group(guid), data["memberId"])
            case "delete-entity":
                self._delete(guid)
            case "resolve-duplicate":
                if data.get("shouldDelete"):
                    self._delete(guid)
            case other:
                raise ValueError(f"this phone knows no events of the type {other}")

    def _write(self, guid: str, type_: str, data: Data) -> None:
        record = self._records.setdefault(guid, Record(guid, type_))
        record.data |= {key: value for key, value in data.items() if key != "members" or type_ == INDIVIDUAL}
        if type_ == GROUP:
            self._add_members(record, data.get("members", []))

    def _add_members(self, group: Record, entries: Iterable[Data]) -> None:
        for entry in entries:
            self._write_anew(entry)
            if entry["guid"] not in group.members:
                group.members.append(entry["guid"])

    def _write_anew(self, entry: Data) -> None:
        guid = entry["guid"]
        self._records.pop(guid, None)
        fields = {key: value for key, value in entry.items() if key != "guid"}
        self._write(guid, GROUP if entry.get("type") == GROUP else INDIVIDUAL, fields)

    def _remove_member(self, group: Record, member: str) -> None:
        group.members = [guid for guid in group.members if guid != member]
        if member in self and self[member].type == GROUP:
            self._delete(member)

    def _delete(self, guid: str) -> None:
        record = self._records.pop(guid, None)
        for member in record.members if record else ():
            self._delete(member)

    def _group(self, guid: str) -> Record:
        record = self._records.get(guid)
        if record is None or record.type != GROUP:
            raise ValueError(f"{guid} is no group of this phone")
        return record
