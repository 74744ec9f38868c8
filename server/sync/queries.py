"""The SQL of the log, its head and the entities. Everything is meant inside one schema; names are never qualified."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from server.db import Connection
from server.db.connection import Row

ENTITY_COLUMNS = (
    "guid, state, created, type, name, entity_name, external_id, version, data, member_ids, parent_ids, updated_ms, "
    "newest, born, deaths, fed_seq, erased"
)

_ENTITY_RECORD = """
    guid text, state text, created boolean, type text, name text, entity_name text, external_id text,
    version integer, data jsonb, member_ids text[], parent_ids text[], updated_ms bigint, newest jsonb,
    born jsonb, deaths integer, fed_seq bigint, erased boolean, name_parts text[]"""


EPOCH_SEEN = "epoch || coalesce(current_setting('croft.sight', true), '')"
"""The epoch as it is told to a device: who does not see all of a log knows it by another name than who does.

So a device that comes to see more, or less, begins anew as in a new epoch.
"""


# The head


async def get_head(db: Connection) -> Row:
    """epoch, base, head, link, carrier_key, and not_before: when the log began, where another one had its id before."""
    row = await db.fetchrow(
        f"""
        SELECT {EPOCH_SEEN} AS epoch, base, head, link, carrier_key,
               (SELECT value::bigint FROM settings WHERE name = 'not-before') AS not_before
        FROM sync_head
        """
    )
    assert row is not None
    return row


async def get_head_for(db: Connection, device_id: str, account: str, since: str) -> Row:
    """epoch, base, head, carrier_key, and is_anew: whether the device, which asks from `since` on, begins anew.

    That is so where it was served another view of the log last, and where it was begun anew when it asked from there
    before: then that answer was lost.
    """
    row = await db.fetchrow(
        f"""
        SELECT {EPOCH_SEEN} AS epoch, base, head, carrier_key,
               coalesce((
                   SELECT sight <> coalesce(current_setting('croft.sight', true), '') OR anew_since = $3
                   FROM devices WHERE account = $1 AND id = $2 AND last_pull IS NOT NULL
               ), false) AS is_anew
        FROM sync_head
        """,
        account,
        device_id,
        since,
    )
    assert row is not None
    return row


async def start_epoch(db: Connection, epoch: str, base: int) -> None:
    """Begins a new epoch at the base."""
    await db.execute("UPDATE sync_head SET epoch = $1, base = $2", epoch, base)


async def find_cluster(db: Connection) -> str | None:
    """The cluster in which the log is known to be, if any is noted."""
    cluster: str | None = await db.fetchval("SELECT cluster FROM sync_head")
    return cluster


async def note_cluster(db: Connection, cluster: str) -> None:
    """Notes the cluster in which the log is."""
    await db.execute("UPDATE sync_head SET cluster = $1", cluster)


# Events

_EVENT_COLUMNS = (
    "e.seq, e.guid, e.entity_guid, e.type, e.data, e.applied, e.timestamp, e.timestamp_ms, e.effective_ms, "
    "e.user_id, e.base_seq, e.outcome, e.reason, e.erased, e.erases"
)


async def list_known(db: Connection, guids: Sequence[str]) -> list[Row]:
    """Those of the events that are in the log already: guid, digest, seq."""
    return await db.fetch("SELECT guid, digest, seq FROM events WHERE guid = ANY($1)", guids)


async def find_push(db: Connection, seq: int) -> Row | None:
    """The push that brought the event with this number: epoch, first, last, link, previous."""
    return await db.fetchrow(
        f"""
        SELECT p.{EPOCH_SEEN} AS epoch, p.first_seq AS first, p.last_seq AS last, p.link,
               coalesce((SELECT b.link FROM pushes b WHERE b.last_seq = p.first_seq - 1), '') AS previous
        FROM pushes p WHERE p.last_seq >= $1 AND p.first_seq <= $1 ORDER BY p.last_seq LIMIT 1
        """,
        seq,
    )


async def begin_push(db: Connection, guids: Sequence[str], *, account: str, device_id: str, at: datetime) -> Row:
    """Notes that the device pushes, and answers what has to be known before its events are looked at.

    epoch, base, head, carrier_key, not_before (as in `get_head`), served_seq (the number the device was last served up
    to, None when it never pulled), has_erased (whether anybody was ever erased; nobody is before the transaction ends),
    and of the events that are in the log already: guids, digests and seqs.
    """
    row = await db.fetchrow(
        f"""
        WITH noted AS (
            INSERT INTO devices (id, account, last_push) VALUES ($2, $3, $4)
            ON CONFLICT (account, id) DO UPDATE SET last_push = excluded.last_push
            RETURNING served_seq
        ),
        locked AS (SELECT FROM erasing FOR KEY SHARE)
        SELECT h.{EPOCH_SEEN} AS epoch, h.base, h.head, h.carrier_key,
               (SELECT value::bigint FROM settings WHERE name = 'not-before') AS not_before,
               (SELECT served_seq FROM noted) AS served_seq,
               EXISTS (SELECT FROM erased_persons) AND NOT EXISTS (SELECT FROM locked) AS has_erased,
               known.guids, known.digests, known.seqs
        FROM sync_head h, (
            SELECT array_agg(guid) AS guids, array_agg(digest) AS digests, array_agg(seq) AS seqs
            FROM events WHERE guid = ANY($1)
        ) AS known
        """,
        guids,
        device_id,
        account,
        at,
    )
    assert row is not None
    return row


async def write_push(
    db: Connection,
    events: Sequence[Sequence[object]],
    mentions: Sequence[Sequence[object]],
    new: str,
    changed: str,
    counts: Sequence[Sequence[object]],
    *,
    digests: bytes,
    erased: Sequence[bool],
    account: str,
    device_id: str,
    at: datetime,
) -> Row:
    """Moves the head on, and writes everything that a push brings behind it. The head stays locked until the commit.

    So numbers become visible in their order. `events` are columns in the order of the statement. `mentions` are two
    columns: entities, and the places (from 1) of the events that speak of them. `new` and `changed` are entities as
    JSON lists of objects with the columns of the table, except that fed_seq is the place of an event. `counts` are two
    columns: forms, and how many more live entities there are of each.

    Answers the push's link in the chain (epoch, first, last, link, previous), and how many events and entities were
    added: what is there already is left alone. Where that is less than was given, the caller gives everything up.
    """
    row = await db.fetchrow(
        f"""
        WITH moved AS (
            UPDATE sync_head
            SET head = head + cardinality($1::text[]), previous = link,
                link = sha256(link || int8send(head + 1) || $20)
            RETURNING head - cardinality($1::text[]) AS before, head, epoch, link, previous
        ),
        linked AS (
            INSERT INTO pushes (last_seq, first_seq, epoch, account, device_id, received_at, link)
            SELECT head, before + 1, epoch, $21, $22, $23, link FROM moved
        ),
        added_events AS (
            INSERT INTO events (seq, guid, entity_guid, type, data, applied, timestamp, timestamp_ms, effective_ms,
                                user_id, base_seq, digest, outcome, reason, erased, account, device_id, received_at)
            SELECT m.before + n.place, n.guid, n.entity_guid, n.type, n.data, n.applied, n.timestamp, n.timestamp_ms,
                   n.effective_ms, n.user_id, n.base_seq, n.digest, n.outcome, n.reason, n.erased, $21, $22, $23
            FROM moved m, unnest(
                $1::text[], $2::text[], $3::text[], $4::json[], $5::json[], $6::text[], $7::bigint[], $8::bigint[],
                $9::text[], $10::bigint[], $11::bytea[], $12::text[], $13::text[], $24::boolean[]
            ) WITH ORDINALITY AS n (guid, entity_guid, type, data, applied, timestamp, timestamp_ms, effective_ms,
                                    user_id, base_seq, digest, outcome, reason, erased, place)
            ON CONFLICT (guid) DO NOTHING
            RETURNING 1
        ),
        noted AS (
            INSERT INTO mentions (entity_guid, seq)
            SELECT n.entity_guid, m.before + n.place
            FROM moved m, unnest($14::text[], $15::bigint[]) AS n (entity_guid, place)
        ),
        added_entities AS (
            INSERT INTO entities ({ENTITY_COLUMNS}, name_parts)
            SELECT n.guid, n.state, n.created, n.type, n.name, n.entity_name, n.external_id, n.version, n.data,
                   n.member_ids, n.parent_ids, n.updated_ms, n.newest, n.born, n.deaths, m.before + n.fed_seq,
                   n.erased, n.name_parts
            FROM moved m, jsonb_to_recordset($16::jsonb) AS n ({_ENTITY_RECORD})
            ON CONFLICT (guid) DO NOTHING
            RETURNING 1
        ),
        changed AS (
            UPDATE entities e
            SET state = n.state, created = n.created, type = n.type, name = n.name, entity_name = n.entity_name,
                external_id = n.external_id, version = n.version, data = n.data, member_ids = n.member_ids,
                parent_ids = n.parent_ids, updated_ms = n.updated_ms, newest = n.newest, born = n.born,
                deaths = n.deaths, fed_seq = m.before + n.fed_seq, erased = n.erased, name_parts = n.name_parts
            FROM moved m, jsonb_to_recordset($17::jsonb) AS n ({_ENTITY_RECORD})
            WHERE e.guid = n.guid
        ),
        counted AS (
            INSERT INTO entity_counts (form, n)
            SELECT n.form, n.change FROM moved m, unnest($18::text[], $19::bigint[]) AS n (form, change)
            ON CONFLICT (form) DO UPDATE SET n = entity_counts.n + excluded.n
        )
        SELECT {EPOCH_SEEN} AS epoch, before + 1 AS first, head AS last, link, previous,
               (SELECT count(*) FROM added_events) AS events, (SELECT count(*) FROM added_entities) AS entities
        FROM moved
        """,
        *events,
        *mentions,
        new,
        changed,
        *counts,
        digests,
        account,
        device_id,
        at,
        erased,
    )
    assert row is not None
    return row


async def list_erased(db: Connection, guids: Sequence[str]) -> set[str]:
    """Those of the guids that are of erased persons. Nobody else is erased before the transaction ends."""
    rows = await db.fetch(
        """
        WITH locked AS (SELECT FROM erasing FOR KEY SHARE)
        SELECT guid FROM erased_persons WHERE guid = ANY($1) AND NOT EXISTS (SELECT FROM locked)
        """,
        guids,
    )
    return {row["guid"] for row in rows}


async def note_erasures(
    db: Connection, persons: Sequence[str], events: Sequence[str], *, at: datetime, by: str, reason: str
) -> None:
    """Notes persons as erased, and the events of the log by which they were deleted as final."""
    await db.execute("SELECT note_erasures($1, $2, $3, $4, $5)", persons, events, at, by, reason)


async def list_foreign(db: Connection, guids: Sequence[str]) -> set[str]:
    """Those of the entities that belong to a log which had this one's id before, and not to this one."""
    rows = await db.fetch(
        """
        SELECT f.guid FROM foreign_guids f
        WHERE f.guid = ANY($1)
          AND NOT EXISTS (SELECT FROM entities e WHERE e.guid = f.guid AND e.state <> 'missing')
        """,
        guids,
    )
    return {row["guid"] for row in rows}


async def list_of_forms(db: Connection, guids: Sequence[str], forms: Sequence[str]) -> dict[str, bool]:
    """Of those entities that are known: whether each is or was of one of the forms, or has such a one below it."""
    rows = await db.fetch(
        """
        WITH RECURSIVE below (top, guid) AS (
            SELECT guid COLLATE "C", guid COLLATE "C" FROM unnest($1::text[]) AS given (guid)
            UNION
            SELECT b.top, unnest(e.member_ids) FROM below b JOIN entities e ON e.guid = b.guid
        )
        SELECT b.top, bool_or(
                   coalesce(nullif(e.entity_name, ''), e.type) = ANY($2)
                   OR (e.state = 'deleted' AND was_of_form(e.guid, $2))
               ) AS is_of_one
        FROM below b JOIN entities e ON e.guid = b.guid AND e.state <> 'missing'
        GROUP BY b.top
        """,
        guids,
        forms,
    )
    return {row["top"]: row["is_of_one"] for row in rows}


async def update_outcomes(db: Connection, rows: Sequence[tuple[str, str, str]]) -> None:
    """Sets outcome and reason of events, given as (guid, outcome, reason)."""
    guids, outcomes, reasons = zip(*rows, strict=True)
    await db.execute(
        """
        UPDATE events e SET outcome = n.outcome, reason = n.reason
        FROM unnest($1::text[], $2::text[], $3::text[]) AS n (guid, outcome, reason)
        WHERE e.guid = n.guid
        """,
        guids,
        outcomes,
        reasons,
    )


async def list_events_of(db: Connection, entity_guids: Iterable[str]) -> list[Row]:
    """Every event that mentions one of the entities."""
    return await db.fetch(
        f"""
        SELECT {_EVENT_COLUMNS} FROM events e
        WHERE e.seq IN (SELECT m.seq FROM mentions m WHERE m.entity_guid = ANY($1))
        """,
        list(entity_guids),
    )


async def list_events_seen_by(
    db: Connection, entity_guids: Sequence[str], account: str, device_id: str, seq: int
) -> list[Row]:
    """The events on the entities up to the number, and later ones of the account's device's own."""
    return await db.fetch(
        f"""
        SELECT {_EVENT_COLUMNS} FROM events e
        WHERE e.seq IN (SELECT m.seq FROM mentions m WHERE m.entity_guid = ANY($1))
          AND (e.seq <= $4 OR (e.account = $2 AND e.device_id = $3))
        """,
        entity_guids,
        account,
        device_id,
        seq,
    )


async def list_events_between(db: Connection, after: int, limit: int) -> list[Row]:
    """The events after the number, in order."""
    return await db.fetch(
        f"SELECT {_EVENT_COLUMNS} FROM events e WHERE e.seq > $1 ORDER BY e.seq LIMIT $2", after, limit
    )


async def list_piece(db: Connection, after: int, up_to: int, limit: int, most_bytes: int) -> list[Row]:
    """The events with numbers in (after, up_to], in order, with all that is kept of them.

    At most `limit` of them, and about `most_bytes` of stored data, but one at least.
    """
    return await db.fetch(
        f"""
        WITH next AS (
            SELECT seq, sum(pg_column_size(data)) OVER (ORDER BY seq) AS bytes
            FROM (SELECT seq, data FROM events WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3) AS candidates
        )
        SELECT {_EVENT_COLUMNS}, e.digest, e.account, e.device_id, e.received_at FROM events e
        WHERE e.seq > $1 AND e.seq <= (SELECT coalesce(max(seq) FILTER (WHERE bytes <= $4), min(seq)) FROM next)
        ORDER BY e.seq
        """,
        after,
        up_to,
        limit,
        most_bytes,
    )


async def list_events_of_types(db: Connection, types: Sequence[str], after: int, up_to: int) -> list[Row]:
    """The events of the types with numbers in (after, up_to], in order; also with account and received_at."""
    return await db.fetch(
        f"""
        SELECT {_EVENT_COLUMNS}, e.account, e.received_at FROM events e
        WHERE e.seq > $2 AND e.seq <= $3 AND e.type = ANY($1) ORDER BY e.seq
        """,
        types,
        after,
        up_to,
    )


# Entities


async def set_savepoint(db: Connection) -> None:
    """Marks where `return_to_savepoint` returns to."""
    await db.execute("SAVEPOINT before_locks")


async def return_to_savepoint(db: Connection) -> None:
    """Gives up everything since the savepoint, locks included, so that more can be locked in order."""
    await db.execute("ROLLBACK TO SAVEPOINT before_locks")


async def lock_entities(db: Connection, guids: Sequence[str]) -> list[Row]:
    """The entities as they stand, locked until the end of the transaction in the order of their guids.

    So two pushes never wait for each other in a circle. One that is nowhere yet cannot be locked: who comes later of
    two pushes that make it finds out by `write_push`.
    """
    return await db.fetch(f"SELECT {ENTITY_COLUMNS} FROM entities WHERE guid = ANY($1) ORDER BY guid FOR UPDATE", guids)


async def list_entities(db: Connection, guids: Sequence[str]) -> list[Row]:
    """The entities as they stand."""
    return await db.fetch(f"SELECT {ENTITY_COLUMNS} FROM entities WHERE guid = ANY($1)", guids)


async def list_below(db: Connection, guids: Iterable[str]) -> list[Row]:
    """The entities and everything below them: guid, member_ids and parent_ids."""
    return await db.fetch(
        """
        WITH RECURSIVE below (guid) AS (
            SELECT unnest($1::text[]) COLLATE "C"
            UNION
            SELECT unnest(e.member_ids) FROM below b JOIN entities e ON e.guid = b.guid
        )
        SELECT e.guid, e.member_ids, e.parent_ids FROM below b JOIN entities e ON e.guid = b.guid
        """,
        list(guids),
    )


async def list_connected(db: Connection, guids: Iterable[str]) -> set[str]:
    """Every entity that is connected with these through events that mention both."""
    rows = await db.fetch(
        # From entity to event to entity: joined in one step, a group of thousands would be a square of rows.
        """
        WITH RECURSIVE reached (guid, seq) AS (
            SELECT unnest($1::text[]) COLLATE "C", NULL::bigint
            UNION
            SELECT next.guid, next.seq
            FROM reached r CROSS JOIN LATERAL (
                SELECT NULL::text COLLATE "C" AS guid, m.seq FROM mentions m WHERE m.entity_guid = r.guid
                UNION ALL
                SELECT m.entity_guid, NULL FROM mentions m WHERE m.seq = r.seq
            ) next
        )
        SELECT guid FROM reached WHERE guid IS NOT NULL
        """,
        list(guids),
    )
    return {row["guid"] for row in rows}


async def delete_all_entities(db: Connection) -> None:
    """Forgets every entity and count, so that the log can be folded anew."""
    await db.execute("DELETE FROM entities")
    await db.execute("DELETE FROM entity_counts")


async def insert_entities(db: Connection, rows: str, forms: Sequence[str], counts: Sequence[int]) -> None:
    """Adds entities, given as a JSON list of objects with the columns of the table, and what they add to the counts."""
    await db.execute(
        f"""
        WITH added AS (
            INSERT INTO entities ({ENTITY_COLUMNS}, name_parts)
            SELECT {ENTITY_COLUMNS}, name_parts FROM jsonb_to_recordset($1::jsonb) AS n ({_ENTITY_RECORD})
        )
        INSERT INTO entity_counts (form, n) SELECT * FROM unnest($2::text[], $3::bigint[])
        ON CONFLICT (form) DO UPDATE SET n = entity_counts.n + excluded.n
        """,
        rows,
        forms,
        counts,
    )


async def list_feed(db: Connection, after: int, limit: int, most_bytes: int) -> list[Row]:
    """The entities fed after the number in the order of their numbers, none cut within one number.

    About `limit` of them and `most_bytes` of stored data, members counted in by a guess; always those of one number.
    """
    return await db.fetch(
        f"""
        WITH next AS (
            SELECT fed_seq, guid,
                   sum(pg_column_size(data) + 500 * cardinality(member_ids)) OVER (ORDER BY fed_seq, guid) AS bytes
            FROM (
                SELECT fed_seq, guid, data, member_ids FROM entities WHERE fed_seq > $1 ORDER BY fed_seq, guid LIMIT $2
            ) AS candidates
        )
        SELECT {ENTITY_COLUMNS} FROM entities
        WHERE fed_seq > $1 AND fed_seq <= (
            SELECT coalesce(max(fed_seq) FILTER (WHERE bytes <= $3), min(fed_seq)) FROM next)
        ORDER BY fed_seq, guid
        """,
        after,
        limit,
        most_bytes,
    )


async def list_all_entities(db: Connection) -> list[Row]:
    """Every entity, tombstones too."""
    return await db.fetch(f"SELECT {ENTITY_COLUMNS} FROM entities")


async def lock_all_entities(db: Connection) -> None:
    """Makes pushes wait until the end of the transaction, before they lock any entity; reading goes on.

    Taken before any entity and before the head: a push that has locked its entities waits for the head.
    """
    await db.execute("LOCK TABLE entities IN EXCLUSIVE MODE")


async def lock_head(db: Connection) -> None:
    """Makes pushes wait until the end of the transaction."""
    await db.execute("SELECT head FROM sync_head FOR UPDATE")


async def list_claiming(db: Connection, external_ids: Sequence[str]) -> list[Row]:
    """The live entities that have one of the external ids."""
    return await db.fetch(
        f"SELECT {ENTITY_COLUMNS} FROM entities WHERE state = 'live' AND external_id = ANY($1)", external_ids
    )


async def list_with_name_parts(db: Connection, parts: Sequence[str], limit: int) -> list[str]:
    """Live entities whose name holds the parts (of the index of names), at most `limit`."""
    rows = await db.fetch("SELECT guid FROM entities WHERE state = 'live' AND name_parts @> $1 LIMIT $2", parts, limit)
    return [row["guid"] for row in rows]


async def is_fed_after(db: Connection, seq: int) -> bool:
    """Whether any entity was fed after the number."""
    return bool(await db.fetchval("SELECT EXISTS (SELECT FROM entities WHERE fed_seq > $1)", seq))


# Quarantine, devices, settings


async def insert_quarantine(
    db: Connection, columns: Sequence[Sequence[object]], *, account: str, device_id: str, at: datetime
) -> None:
    """Keeps what could not be an event; what was sent before is kept once."""
    await db.execute(
        """
        INSERT INTO quarantine (digest, guid, code, path, detail, raw, account, device_id, received_at)
        SELECT n.*, $7, $8, $9
        FROM unnest($1::bytea[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[]) AS n
        ON CONFLICT (digest) DO NOTHING
        """,
        *columns,
        account,
        device_id,
        at,
    )


_QUARANTINE_COLUMNS = "id, guid, code, path, detail, octet_length(raw) AS raw_length, account, device_id, received_at"


async def list_quarantine(db: Connection, before: int, limit: int, most_raw: int) -> list[Row]:
    """The newest first, below the id `before`. raw is cut to so many characters, raw_length the bytes of the whole."""
    return await db.fetch(
        f"SELECT {_QUARANTINE_COLUMNS}, left(raw, $3) AS raw FROM quarantine WHERE id < $1 ORDER BY id DESC LIMIT $2",
        before,
        limit,
        most_raw,
    )


async def find_quarantined(db: Connection, entry_id: int) -> Row | None:
    """One entry with the whole of its raw."""
    return await db.fetchrow(f"SELECT {_QUARANTINE_COLUMNS}, raw FROM quarantine WHERE id = $1", entry_id)


async def note_pull(
    db: Connection, device_id: str, account: str, at: datetime, served_seq: int, *, anew_since: str | None = None
) -> None:
    """Notes what the device was served, and from where it asked when it was begun anew."""
    await db.execute(
        """
        INSERT INTO devices (id, account, last_pull, served_seq, sight, anew_since)
        VALUES ($1, $2, $3, $4, coalesce(current_setting('croft.sight', true), ''), $5)
        ON CONFLICT (account, id) DO UPDATE
        SET last_pull = excluded.last_pull, served_seq = excluded.served_seq, sight = excluded.sight,
            anew_since = coalesce(excluded.anew_since, devices.anew_since)
        """,
        device_id,
        account,
        at,
        served_seq,
        anew_since,
    )


async def find_setting(db: Connection, name: str) -> str | None:
    """A setting as JSON text."""
    value: str | None = await db.fetchval("SELECT value::text FROM settings WHERE name = $1", name)
    return value


# Audit log


async def insert_audit_log(
    db: Connection, columns: Sequence[Sequence[object]], *, account: str, device_id: str, at: datetime
) -> None:
    """Adds entries that are not known yet."""
    await db.execute(
        """
        INSERT INTO audit_log (guid, timestamp, action, event_guid, entity_guid, changes, signature,
                               user_id, device_id, received_at)
        SELECT n.*, $8, $9, $10
        FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::json[], $7::text[]) AS n
        ON CONFLICT (guid) DO NOTHING
        """,
        *columns,
        account,
        device_id,
        at,
    )


async def list_audit_log(db: Connection, since: datetime | None, limit: int) -> list[Row]:
    """Entries that arrived at the time or after it, in the order of their arrival."""
    return await db.fetch(
        """
        SELECT guid, timestamp, user_id, action, event_guid, entity_guid, changes, signature
        FROM audit_log WHERE received_at >= coalesce($1, '-infinity'::timestamptz)
        ORDER BY received_at, seq LIMIT $2
        """,
        since,
        limit,
    )
