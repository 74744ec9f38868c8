"""All SQL of the store, on SQLite."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

Database = sqlite3.Connection
Row = sqlite3.Row

SCHEMA_VERSION = 2
APPLICATION = 0x43524F46
"""Marks the file as a store of this library."""

_ENTITY = "guid, version, state, type, form, name, external_id, data, member_ids, parent_ids, last_updated"
_ENTITY_TYPES = """
    guid TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, type TEXT NOT NULL, form TEXT NOT NULL,
    name TEXT NOT NULL, external_id TEXT, data TEXT NOT NULL, member_ids TEXT NOT NULL, parent_ids TEXT NOT NULL,
    last_updated TEXT NOT NULL, folded_name TEXT NOT NULL
"""


def take(db: Database) -> None:
    """Takes the file for this connection alone, for as long as it is open. OperationalError: it is taken."""
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("BEGIN EXCLUSIVE")
    db.execute("COMMIT")


def make_commits_last(db: Database) -> None:
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")


def find_application(db: Database) -> tuple[int, int, int]:
    """The file's application, the version of its schema, and how many tables it has."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    return application, version, tables


def create_schema(db: Database) -> None:
    db.execute("CREATE TABLE facts (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    db.execute("""
    CREATE TABLE events (
        position INTEGER PRIMARY KEY, guid TEXT NOT NULL UNIQUE, entity_guid TEXT NOT NULL, type TEXT NOT NULL,
        data TEXT NOT NULL, timestamp TEXT NOT NULL, user_id TEXT NOT NULL, base_version INTEGER,
        applied TEXT, own INTEGER NOT NULL, device_id TEXT NOT NULL DEFAULT '', status TEXT NOT NULL, seq INTEGER,
        code TEXT NOT NULL DEFAULT '', path TEXT NOT NULL DEFAULT '', detail TEXT NOT NULL DEFAULT '',
        to_offer INTEGER NOT NULL, on_top INTEGER NOT NULL, digest TEXT NOT NULL DEFAULT ''
    )
    """)
    db.execute("CREATE INDEX events_to_offer ON events (own DESC, position) WHERE to_offer")
    db.execute("CREATE INDEX events_on_top ON events (position) WHERE on_top")
    db.execute("CREATE INDEX events_by_seq ON events (seq) WHERE seq IS NOT NULL")
    db.execute("CREATE INDEX events_refused ON events (position) WHERE status IN ('quarantined', 'set-aside')")
    db.execute("CREATE INDEX events_known ON events (seq) WHERE own AND status = 'known'")
    db.execute(
        "CREATE TABLE mentions (entity_guid TEXT, position INTEGER, PRIMARY KEY (entity_guid, position)) WITHOUT ROWID"
    )
    db.execute(
        f"CREATE TABLE entities (generation INTEGER, {_ENTITY_TYPES}, PRIMARY KEY (generation, guid)) WITHOUT ROWID"
    )
    db.execute(f"CREATE TABLE shown ({_ENTITY_TYPES}, PRIMARY KEY (guid)) WITHOUT ROWID")
    db.execute("""
    CREATE TABLE receipts (
        position INTEGER PRIMARY KEY, epoch TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        hash TEXT NOT NULL, previous TEXT NOT NULL, verified INTEGER, UNIQUE (epoch, first, hash)
    )
    """)
    db.execute("CREATE INDEX receipts_by_last ON receipts (epoch, last)")
    db.execute("""
    CREATE TABLE conflicts (
        entity_guid TEXT, field TEXT, mine TEXT, theirs TEXT, PRIMARY KEY (entity_guid, field, mine, theirs)
    ) WITHOUT ROWID
    """)
    db.execute(f"PRAGMA application_id = {APPLICATION}")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def bring_schema_up_to_date(db: Database, version: int) -> None:
    """From the version before that of this library."""
    if version == 1:
        db.execute("ALTER TABLE events ADD COLUMN digest TEXT NOT NULL DEFAULT ''")
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def begin(db: Database) -> None:
    db.execute("BEGIN IMMEDIATE")


def commit(db: Database) -> None:
    db.execute("COMMIT")


def roll_back(db: Database) -> None:
    if db.in_transaction:
        db.execute("ROLLBACK")


def find_fact(db: Database, key: str) -> Any:
    row = db.execute("SELECT value FROM facts WHERE key = ?", (key,)).fetchone()
    return None if row is None else row["value"]


def set_fact(db: Database, key: str, value: Any) -> None:
    db.execute("INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)", (key, value))


# Events

_EVENT = (
    "position, guid, entity_guid, type, data, timestamp, user_id, base_version, applied, own, device_id, status,"
    " seq, code, path, detail, digest"
)


def insert_event(db: Database, values: Sequence[Any], mentions: Iterable[str]) -> None:
    """`values`: guid, entity_guid, type, data, timestamp, user_id, base_version, applied, own, device_id, status, seq,
    to_offer, on_top, digest."""
    cursor = db.execute(
        "INSERT INTO events (guid, entity_guid, type, data, timestamp, user_id, base_version, applied, own, device_id,"
        " status, seq, to_offer, on_top, digest) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    position = cursor.lastrowid
    db.executemany(
        "INSERT OR IGNORE INTO mentions (entity_guid, position) VALUES (?, ?)", [(guid, position) for guid in mentions]
    )


def find_event(db: Database, guid: str) -> Row | None:
    row: Row | None = db.execute(f"SELECT {_EVENT} FROM events WHERE guid = ?", (guid,)).fetchone()
    return row


def list_events_of(db: Database, entity_guid: str) -> list[Row]:
    """Those that mention the entity, in the order in which they were made."""
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE position IN (SELECT position FROM mentions WHERE entity_guid = ?)"
        " ORDER BY timestamp, position",
        (entity_guid,),
    ).fetchall()


def list_own_events_of(db: Database, entity_guid: str) -> list[Row]:
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE own AND entity_guid = ?"
        " AND position IN (SELECT position FROM mentions WHERE entity_guid = ?) ORDER BY position",
        (entity_guid, entity_guid),
    ).fetchall()


def list_to_offer(db: Database, *, limit: int) -> list[Row]:
    """The device's own first: others may hold the rest, too."""
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE to_offer ORDER BY own DESC, position LIMIT ?", (limit,)
    ).fetchall()


def list_outbox(db: Database) -> list[Row]:
    return db.execute(f"SELECT {_EVENT} FROM events WHERE to_offer AND own ORDER BY position").fetchall()


def count_to_offer(db: Database) -> int:
    return int(db.execute("SELECT count(*) FROM events WHERE to_offer").fetchone()[0])


def list_refused(db: Database) -> list[Row]:
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE status IN ('quarantined', 'set-aside') ORDER BY position"
    ).fetchall()


def list_on_top(db: Database) -> list[Row]:
    return db.execute(f"SELECT {_EVENT} FROM events WHERE on_top ORDER BY position").fetchall()


def has_on_top(db: Database) -> bool:
    return db.execute("SELECT 1 FROM events WHERE on_top LIMIT 1").fetchone() is not None


def list_by_seq(db: Database, first: int, last: int) -> list[Row]:
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?", (first, last, last - first + 1)
    ).fetchall()


def set_answer(db: Database, guid: str, answer: Sequence[Any], *, on_top: bool) -> None:
    """`answer`: status, seq, code, path, detail."""
    db.execute(
        "UPDATE events SET status = ?, seq = ?, code = ?, path = ?, detail = ?, to_offer = 0, on_top = on_top AND ?"
        " WHERE guid = ?",
        (*answer, on_top, guid),
    )


def set_seen_in_log(db: Database, guid: str, seq: int) -> None:
    """An event that came back by a pull is in the log, whether or not its answer came."""
    db.execute(
        "UPDATE events SET seq = ?, to_offer = 0, status = CASE status WHEN 'unsent' THEN 'known' ELSE status END"
        " WHERE guid = ? AND (seq IS NULL OR to_offer)",
        (seq, guid),
    )


def offer_again(db: Database, guid: str) -> None:
    db.execute(
        "UPDATE events SET to_offer = 1, on_top = 1, status = 'unsent', code = '', path = '', detail = ''"
        " WHERE guid = ?",
        (guid,),
    )


def forget_event(db: Database, guid: str) -> None:
    db.execute("DELETE FROM mentions WHERE position = (SELECT position FROM events WHERE guid = ?)", (guid,))
    db.execute("DELETE FROM events WHERE guid = ?", (guid,))


def offer_everything(db: Database) -> None:
    """Numbers and versions are of the log that was. What no server takes stays set aside, and so does what is empty."""
    db.execute("UPDATE events SET seq = NULL, base_version = NULL, to_offer = (status <> 'set-aside' AND data <> '{}')")


def set_erased(db: Database, guid: str, data: str, applied: str | None, digest: str) -> None:
    """Puts what is left of an event in the place of its content, for good."""
    db.execute(
        "UPDATE events SET data = ?, applied = ?, digest = ? WHERE guid = ?",
        (data, applied, digest, guid),
    )


def list_whole_events_of(db: Database, entity_guid: str) -> list[Row]:
    """Those that mention the entity, are answered for, and are as they were made."""
    return db.execute(
        f"SELECT {_EVENT} FROM events WHERE position IN (SELECT position FROM mentions WHERE entity_guid = ?)"
        " AND digest = '' AND NOT to_offer",
        (entity_guid,),
    ).fetchall()


def take_from_top(db: Database) -> int:
    """What is in the log is in what the server gives from now on. Answers how many events that were."""
    return db.execute("UPDATE events SET on_top = 0 WHERE on_top AND seq IS NOT NULL").rowcount


def find_event_without_receipt(db: Database) -> int | None:
    """The number of an event whose answer was lost."""
    row = db.execute("SELECT min(seq) FROM events WHERE own AND status = 'known' AND seq IS NOT NULL").fetchone()
    return None if row[0] is None else int(row[0])


def note_receipt_came(db: Database, first: int, last: int) -> None:
    db.execute(
        "UPDATE events SET status = 'accepted' WHERE own AND status = 'known' AND seq BETWEEN ? AND ?", (first, last)
    )


# Entities

_VALUES = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
_NEWER = """
    version = excluded.version, state = excluded.state, type = excluded.type, form = excluded.form,
    name = excluded.name, external_id = excluded.external_id, data = excluded.data, member_ids = excluded.member_ids,
    parent_ids = excluded.parent_ids, last_updated = excluded.last_updated, folded_name = excluded.folded_name
"""
_UPSERT = (
    f"INSERT INTO entities (generation, {_ENTITY}, folded_name) VALUES (?, {_VALUES})"
    f" ON CONFLICT (generation, guid) DO UPDATE SET {_NEWER} WHERE excluded.version >= version"
)
_HELD = f"""
    SELECT {_ENTITY}, folded_name, 1 AS unsynced FROM shown
    UNION ALL
    SELECT {_ENTITY}, folded_name, 0 FROM entities
    WHERE generation = (SELECT value FROM facts WHERE key = 'generation') AND guid NOT IN (SELECT guid FROM shown)
"""


def upsert_entities(db: Database, rows: Iterable[Sequence[Any]]) -> None:
    """`rows`: generation, then the columns of an entity; an older version than the one held changes nothing."""
    db.executemany(_UPSERT, rows)


def set_shown(db: Database, rows: Iterable[Sequence[Any]]) -> None:
    db.executemany(f"INSERT OR REPLACE INTO shown ({_ENTITY}, folded_name) VALUES ({_VALUES})", rows)


def clear_shown(db: Database) -> None:
    db.execute("DELETE FROM shown")


def find_served(db: Database, generation: int, guid: str) -> Row | None:
    """The entity as the server gave it."""
    row: Row | None = db.execute(
        f"SELECT {_ENTITY}, 0 AS unsynced FROM entities WHERE generation = ? AND guid = ?", (generation, guid)
    ).fetchone()
    return row


def find_shown(db: Database, guid: str) -> Row | None:
    row: Row | None = db.execute(f"SELECT {_ENTITY}, 1 AS unsynced FROM shown WHERE guid = ?", (guid,)).fetchone()
    return row


_MATCHING = """
    state = 'live' AND (:form IS NULL OR form = :form) AND (:type IS NULL OR type = :type)
    AND (:name IS NULL OR instr(folded_name, :name) > 0) AND (:external_id IS NULL OR external_id = :external_id)
"""


def list_matching(db: Database, wanted: dict[str, Any]) -> list[Row]:
    return db.execute(
        f"SELECT * FROM ({_HELD}) WHERE {_MATCHING} ORDER BY folded_name, guid LIMIT :limit", wanted
    ).fetchall()


def list_page(db: Database, wanted: dict[str, Any]) -> list[Row]:
    """The next ones behind the guid `after`."""
    return db.execute(
        f"SELECT * FROM ({_HELD}) WHERE {_MATCHING} AND guid > :after ORDER BY guid LIMIT :limit", wanted
    ).fetchall()


def count_matching(db: Database, wanted: dict[str, Any]) -> int:
    return int(db.execute(f"SELECT count(*) FROM ({_HELD}) WHERE {_MATCHING}", wanted).fetchone()[0])


def count_generation(db: Database, generation: int) -> int:
    return int(db.execute("SELECT count(*) FROM entities WHERE generation = ?", (generation,)).fetchone()[0])


def drop_generations_but(db: Database, *kept: int) -> None:
    one, other = (*kept, *kept)[:2]
    db.execute("DELETE FROM entities WHERE generation NOT IN (?, ?)", (one, other))


# Receipts and conflicts

_RECEIPT = "epoch, first, last, hash, previous, verified"


def insert_receipt(db: Database, values: Sequence[Any]) -> None:
    db.execute(f"INSERT OR REPLACE INTO receipts ({_RECEIPT}) VALUES (?, ?, ?, ?, ?, ?)", values)


def list_receipts(db: Database) -> list[Row]:
    return db.execute(f"SELECT {_RECEIPT} FROM receipts ORDER BY position").fetchall()


def find_receipt_before(db: Database, epoch: str, first: int) -> Row | None:
    row: Row | None = db.execute(
        f"SELECT {_RECEIPT} FROM receipts WHERE epoch = ? AND last = ?", (epoch, first - 1)
    ).fetchone()
    return row


def insert_conflict(db: Database, values: Sequence[Any]) -> bool:
    """`values`: entity_guid, field, mine, theirs. Answers whether it is new."""
    return (
        db.execute(
            "INSERT OR IGNORE INTO conflicts (entity_guid, field, mine, theirs) VALUES (?, ?, ?, ?)", values
        ).rowcount
        > 0
    )


def list_conflicts(db: Database) -> Iterator[Row]:
    return iter(
        db.execute("SELECT entity_guid, field, mine, theirs FROM conflicts ORDER BY entity_guid, field").fetchall()
    )


def settle_conflicts(db: Database, entity_guid: str, field: str) -> None:
    db.execute("DELETE FROM conflicts WHERE entity_guid = ? AND field = ?", (entity_guid, field))


def settle_conflicts_of(db: Database, entity_guid: str) -> None:
    db.execute("DELETE FROM conflicts WHERE entity_guid = ?", (entity_guid,))
