"""The store: one SQLite file, open in one place at a time, and right after a kill at any moment.

Whatever belongs together is written in one transaction, so that nothing has to be mended when the file is opened. How
far a sync has come are facts in the file: whoever opens it next goes on from there.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from server.device import queries
from server.device.errors import DeviceError, StoreInUse, StoreUnusable
from server.device.model import Entity, Event, Receipt
from server.device.strict import read, write


class Store:
    """The file and the lock around it. It may be used from any thread; their transactions follow each other."""

    def __init__(self, path: Path, tenant: str, new_id: str) -> None:
        self._lock = threading.RLock()
        self._depth = 0
        self._is_open = True
        self._db = _open(path)
        try:
            self._prepare(path, tenant, new_id)
        except BaseException:
            self._db.close()
            raise

    def _prepare(self, path: Path, tenant: str, new_id: str) -> None:
        application, version, tables = queries.find_application(self._db)
        if tables and application != queries.APPLICATION:
            raise StoreUnusable(f"{path} is no store of a device")
        if version > queries.SCHEMA_VERSION:
            raise StoreUnusable(f"{path} was written by a newer version of this library")
        queries.make_commits_last(self._db)
        with self.transaction() as db:
            if tables and version < queries.SCHEMA_VERSION:
                queries.bring_schema_up_to_date(db, version)
            if not tables:
                queries.create_schema(db)
                self.set(tenant=tenant, device_id=new_id, log=1, generation=0, generation_log=0, last_ms=0)
            if self.get("tenant") != tenant:
                raise StoreUnusable(f"{path} is a store of the tenant {self.get('tenant')}")

    def close(self) -> None:
        with self._lock:
            self._is_open = False
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[queries.Database]:
        """One transaction; within another one, a part of that."""
        with self._lock:
            if not self._is_open:
                raise DeviceError("the device is closed")
            if self._depth:
                yield self._db
                return
            queries.begin(self._db)
            self._depth = 1
            try:
                yield self._db
                queries.commit(self._db)
            except BaseException:
                queries.roll_back(self._db)
                raise
            finally:
                self._depth = 0

    @property
    def is_in_transaction(self) -> bool:
        """Whether this thread is inside of a transaction."""
        with self._lock:
            return self._depth > 0

    # Facts

    def get(self, key: str) -> Any:
        """A fact, None where it was never set."""
        with self.transaction() as db:
            return queries.find_fact(db, key)

    def set(self, **facts: Any) -> None:
        with self.transaction() as db:
            for key, value in facts.items():
                queries.set_fact(db, key, value)

    @property
    def is_of_present_log(self) -> bool:
        """Whether the entities held are of the log whose numbers the events have."""
        return bool(self.get("generation_log") == self.get("log"))


def _open(path: Path) -> sqlite3.Connection:
    """Opens the file for its owner alone: it holds people's data and a token.

    One that exists is not touched but through SQLite: closing it would end the locks that this process has on it.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    path.chmod(0o600)
    db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    try:
        queries.take(db)
    except sqlite3.OperationalError as error:
        db.close()
        if "locked" in str(error):
            raise StoreInUse(f"{path} is open elsewhere") from None
        raise StoreUnusable(f"{path} cannot be opened: {error}") from error
    except sqlite3.DatabaseError as error:
        db.close()
        raise StoreUnusable(f"{path} is no store of a device: {error}") from None
    return db


# Rows and what they stand for


def event_from(row: queries.Row) -> Event:
    return Event(
        guid=row["guid"],
        entity_guid=row["entity_guid"],
        type=row["type"],
        data=read(row["data"]),
        timestamp=row["timestamp"],
        user_id=row["user_id"],
        base_version=row["base_version"],
        applied=None if row["applied"] is None else read(row["applied"]),
        own=bool(row["own"]),
        status=row["status"],
        seq=row["seq"],
        device_id=row["device_id"],
        code=row["code"],
        path=row["path"],
        detail=row["detail"],
        digest=row["digest"],
    )


def entity_from(row: queries.Row) -> Entity:
    return Entity(
        guid=row["guid"],
        version=row["version"],
        state=row["state"],
        type=row["type"],
        form=row["form"],
        name=row["name"],
        external_id=row["external_id"],
        data=read(row["data"]),
        member_ids=read(row["member_ids"]),
        parent_ids=read(row["parent_ids"]),
        last_updated=row["last_updated"],
        unsynced=bool(row["unsynced"]),
    )


def entity_row(entity: Entity) -> tuple[Any, ...]:
    return (
        entity.guid,
        entity.version,
        entity.state,
        entity.type,
        entity.form,
        entity.name,
        entity.external_id,
        write(entity.data),
        write(entity.member_ids),
        write(entity.parent_ids),
        entity.last_updated,
        entity.name.casefold(),
    )


def receipt_from(row: queries.Row) -> Receipt:
    verified = row["verified"]
    return Receipt(
        row["epoch"],
        row["first"],
        row["last"],
        row["hash"],
        row["previous"],
        None if verified is None else bool(verified),
    )
