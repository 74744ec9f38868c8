"""What a device shows of what it holds."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

Data = dict[str, Any]

LIVE = "live"
DELETED = "deleted"
MISSING = "missing"

INDIVIDUAL = "individual"
GROUP = "group"

Stage = Literal["push", "snapshot", "pull"]


@dataclass(slots=True)
class Entity:
    """A person or a group, with what this device has not synced yet laid over what the server gave.

    `version` is the server's, 0 for one that the server has not given yet. `unsynced` tells that events of this device
    that the server's state may not hold yet have a part in it.
    """

    guid: str
    version: int = 0
    state: str = MISSING
    type: str = INDIVIDUAL
    form: str = ""
    name: str = ""
    external_id: str | None = None
    data: Data = field(default_factory=dict)
    member_ids: list[str] = field(default_factory=list)
    parent_ids: list[str] = field(default_factory=list)
    last_updated: str = ""
    unsynced: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event that the device holds: its own, or one that it pulled.

    `status` is `unsent`, then what the server answered: `accepted`, `known`, `waiting`, `without-effect` or
    `quarantined`; `set-aside` for one that the server does not even take into quarantine, such as a single event that
    is too large; `pulled` for those of other devices. `code`, `path` and `detail` say why. `seq` is the event's number
    in the server's present log, None while that is not known. `applied` is what of `data` the server lets count, where
    that is less: phones send whole forms. `digest`, in hexadecimal, is that of what was pushed, where what it said of a
    person has been taken out since; empty for an event that is whole.
    """

    guid: str
    entity_guid: str
    type: str
    data: Data
    timestamp: str
    user_id: str
    base_version: int | None = None
    applied: Data | None = None
    own: bool = True
    status: str = "unsent"
    seq: int | None = None
    device_id: str = ""
    code: str = ""
    path: str = ""
    detail: str = ""
    digest: str = ""

    def content(self) -> Data:
        """What of it travels, and what a receipt is about."""
        return {
            "guid": self.guid,
            "entityGuid": self.entity_guid,
            "type": self.type,
            "data": self.data,
            "timestamp": self.timestamp,
            "userId": self.user_id,
        }

    def wire(self) -> Data:
        """The event as it is pushed."""
        more = {"baseVersion": self.base_version, "applied": self.applied, "erased": True if self.digest else None}
        return self.content() | {key: value for key, value in more.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Receipt:
    """The server's word that it took the events numbered `first` to `last`.

    `verified` is None where this device does not hold all of them, False when the hash is not that of what it pushed.
    """

    epoch: str
    first: int
    last: int
    hash: str
    previous: str
    verified: bool | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two devices wrote one field without having seen each other. `stands` is the value as the device holds it now."""

    entity_guid: str
    field: str
    mine: Event
    theirs: Event
    stands: Any


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is. `done` only grows; `total` is None while nobody knows it, and `done` at the end."""

    stage: Stage
    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class Head:
    """The server's log has grown, up to `cursor`, or (then `cursor` is None) is another one."""

    cursor: str | None


@dataclass(slots=True)
class SyncReport:
    """What one sync did.

    `pushed` counts what the server answered for, `known` those of it that it had already. `events` and `entities` count
    what was pulled or came with a snapshot. `refused`, `conflicts` and `receipts` are the new ones.
    """

    pushed: int = 0
    known: int = 0
    waiting: int = 0
    without_effect: int = 0
    events: int = 0
    entities: int = 0
    snapshot: bool = False
    epoch_changed: bool = False
    refused: list[Event] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    receipts: list[Receipt] = field(default_factory=list)

    @property
    def proven(self) -> bool:
        """Whether no receipt contradicts what this device pushed."""
        return all(receipt.verified is not False for receipt in self.receipts)


OnProgress = Callable[[Progress], None]
