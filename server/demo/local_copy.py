"""A phone's own copy of the records, changed by events alone: its own, and those that it pulls."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

INDIVIDUAL = "individual"
GROUP = "group"

Data = dict[str, Any]


@dataclass(slots=True)
class Record:
    """A person or a household as the phone shows it. `members` are guids, for groups only."""

    guid: str
    type: str
    data: Data = field(default_factory=dict)
    members: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Empty where there is none."""
        return str(self.data.get("name", ""))


class LocalCopy:
    """The records by guid.

    As on the phones that are in use: a create or update changes the fields it names and adds the members it lists; who
    is listed as a member is written anew; a group that is deleted takes its members along.
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

    def count(self, type_: str) -> int:
        """How many individuals, or groups."""
        return sum(record.type == type_ for record in self)

    def apply(self, event: Data) -> set[str]:
        """Gives the guids that the event wrote. Raises ValueError for an event that cannot be applied."""
        guid, data = event["entityGuid"], event["data"]
        match event["type"]:
            case "create-individual" | "update-individual":
                return self._write(guid, INDIVIDUAL, data)
            case "create-group" | "update-group":
                return self._write(guid, GROUP, data)
            case "add-member":
                return self._add_members(self._group(guid), data["members"][:1])
            case "remove-member":
                return self._remove_member(self._group(guid), data["memberId"])
            case "delete-entity":
                self._delete(guid)
            case "resolve-duplicate":
                if data.get("shouldDelete"):
                    self._delete(guid)
            case other:
                raise ValueError(f"this phone knows no events of the type {other}")
        return set()

    def _write(self, guid: str, type_: str, data: Data) -> set[str]:
        record = self._records.setdefault(guid, Record(guid, type_))
        record.data |= {key: value for key, value in data.items() if key != "members" or type_ == INDIVIDUAL}
        return {guid} | self._add_members(record, data.get("members", []) if type_ == GROUP else [])

    def _add_members(self, group: Record, entries: Iterable[Data]) -> set[str]:
        written: set[str] = set()
        for entry in entries:
            written |= self._write_anew(entry)
            if entry["guid"] not in group.members:
                group.members.append(entry["guid"])
        return written

    def _write_anew(self, entry: Data) -> set[str]:
        guid = entry["guid"]
        self._records.pop(guid, None)
        fields = {key: value for key, value in entry.items() if key != "guid"}
        return self._write(guid, GROUP if entry.get("type") == GROUP else INDIVIDUAL, fields)

    def _remove_member(self, group: Record, member: str) -> set[str]:
        group.members = [guid for guid in group.members if guid != member]
        if member in self and self[member].type == GROUP:
            self._delete(member)
        return {group.guid, member}

    def _delete(self, guid: str) -> None:
        record = self._records.pop(guid, None)
        for member in record.members if record else ():
            self._delete(member)

    def _group(self, guid: str) -> Record:
        record = self._records.get(guid)
        if record is None or record.type != GROUP:
            raise ValueError(f"{guid} is no group of this phone")
        return record
