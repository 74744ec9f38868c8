"""Cursors: `EPOCH.SEQ`, a place in the log of one epoch. Opaque to clients."""

import re
from dataclasses import dataclass
from typing import NoReturn

from server.db import Connection
from server.kit.problem import FieldError, ProblemKind
from server.sync import queries

EPOCH_CHANGED = ProblemKind(
    "sync.epoch-changed", 410, "The log is not the one that this device knows. Offer what the device holds again."
)
BAD_CURSOR = ProblemKind("sync.bad-cursor", 400, "The cursor is none that this server has given out.")
DEVICE_MISSING = ProblemKind("sync.device-missing", 400, "Say which device this is, by the header X-Device-Id.")

_CURSOR = re.compile(r"([0-9a-zA-Z]{1,64})\.(0|[1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log ends: everything up to `seq` is committed."""

    epoch: str
    seq: int

    def cursor_at(self, seq: int) -> str:
        """The cursor behind the event with this number."""
        return f"{self.epoch}.{seq}"

    def refuse(self) -> NoReturn:
        """Raises sync.epoch-changed, for whoever knows another log than this one."""
        raise EPOCH_CHANGED(members={"epoch": self.epoch})


async def find_head(db: Connection) -> Head:
    """The log's head as it stands."""
    row = await queries.get_head(db)
    return Head(row["epoch"], row["head"])


def check_epoch(epoch: str | None, head: Head) -> None:
    """Raises sync.epoch-changed for any epoch but the present one; a device that knows none may go on."""
    if epoch and epoch != head.epoch:
        head.refuse()


def read_cursor(cursor: str | None, *, name: str = "cursor") -> tuple[str | None, int]:
    """The epoch and the number in a cursor, to be compared with the head; 0 for none. Raises sync.bad-cursor."""
    if not cursor:
        return None, 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise BAD_CURSOR(errors=[FieldError(name, "is no cursor")])
    return found[1], int(found[2])


def seq_of(cursor: str | None, head: Head, *, name: str = "cursor") -> int:
    """The number that the cursor stands behind, 0 for none. Raises sync.bad-cursor and sync.epoch-changed.

    A number past the head can only be from another log, whatever epoch it names.
    """
    epoch, seq = read_cursor(cursor, name=name)
    check_epoch(epoch, head)
    if seq > head.seq:
        head.refuse()
    return seq
