"""The SQL by which new clients read. The database makes the JSON, so that nobody here reads and prints it again.

A piece is one statement, so its head, its events and its entities are of one moment. Its rows have one column: first
what is told of the piece, as a JSON object, then each event and each entity as a line of JSON, with a NULL between
the two. Statements are put together from constants, one for each choice; what is not asked for is known when a
statement is planned, and costs nothing.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from server.db import Connection
from server.db.connection import Row
from server.sync.queries import EPOCH_SEEN

Through = Literal["log", "filtered log", "mentions", "entities"]
"""What a part is found through: the log; the log with a filter; the events about one entity; the entities alone."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a device pulls. None asks for no filter; `others` leaves out what this device pushed itself.

    `others` is about events alone: an entity is never only what one device made of it.
    """

    account: str
    device_id: str
    events: bool = True
    entities: bool = False
    form: str | None = None
    entity: str | None = None
    others: bool = False

    @property
    def through(self) -> Through:
        """What it is found through."""
        if not self.events:
            return "entities"
        if self.entity is not None:
            return "mentions"
        return "log" if self.form is None and not self.others else "filtered log"


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the log: behind the number `after`, up to `up_to` at most, in this epoch (None: in any).

    limit: how many events at most, or entities where these alone are asked for.
    window: how many numbers are looked through at most, or events about the entity where one is asked for.
    most_bytes: of a part that is heavier only its weight is answered; None takes what comes.
    """

    epoch: str | None
    after: int
    up_to: int
    limit: int
    window: int
    most_bytes: int | None


# Lines

_TIME: Final = """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""

# Parallel workers would mix up the order of the lines. With a function that must not run beside others there are none.
_IN_ORDER: Final = "set_config('max_parallel_workers_per_gather', '0', true) IS NOT NULL"

_EVENT: Final = f"""
    textsend(concat(
        '{{"guid":', to_json(e.guid), ',"entityGuid":', to_json(e.entity_guid), ',"type":', to_json(e.type),
        ',"data":', e.data, ',"timestamp":', to_json(e.timestamp), ',"userId":', to_json(e.user_id), ',"seq":', e.seq,
        ',"receivedAt":"', to_char(timezone(interval '0', e.received_at), {_TIME}),
        '","deviceId":', to_json(e.device_id), ',"account":', to_json(e.account),
        ',"outcome":', to_json(e.outcome), ',"reason":', to_json(e.reason),
        ',"baseVersion":' || e.base_seq, ',"applied":' || e.applied::text,
        CASE WHEN e.erased THEN ',"erased":true,"digest":"' || encode(e.digest, 'hex') || '"' END,
        CASE WHEN e.erases THEN ',"erases":true' END, '}}'))
"""

_FORM: Final = "coalesce(nullif(n.entity_name, ''), n.type)"

_ENTITY: Final = f"""
    textsend(concat(
        '{{"guid":', to_json(n.guid), ',"version":', n.fed_seq, ',"state":', to_json(n.state),
        ',"type":', to_json(n.type), ',"form":', to_json({_FORM}), ',"name":', to_json(n.name),
        ',"externalId":', coalesce(to_json(n.external_id), 'null'), ',"data":', n.data,
        ',"memberIds":', to_json(n.member_ids), ',"parentIds":', to_json(n.parent_ids),
        ',"lastUpdated":"', to_char(timestamp '1970-01-01' + n.updated_ms * interval '1 millisecond', {_TIME}),
        '"', CASE WHEN n.erased THEN ',"erased":true' END, '}}'))
"""

# Weights. What is not packed is as large as it is stored. What is packed may be a hundred times as large, so it counts
# as that at first, and only where this is too much it is measured, which means to unpack it.

_EVENT_STORED: Final = "pg_column_size(e.data)"
_EVENT_PACKED: Final = "pg_column_compression(e.data)"
_EVENT_BYTES: Final = "octet_length(e.data::text)"

_ENTITY_STORED: Final = "pg_column_size(n.data) + pg_column_size(n.member_ids) + pg_column_size(n.parent_ids)"
_ENTITY_PACKED: Final = """
    coalesce(pg_column_compression(n.data), pg_column_compression(n.member_ids), pg_column_compression(n.parent_ids))
"""
_ENTITY_BYTES: Final = "octet_length(n.data::text) + octet_length(concat(n.member_ids, n.parent_ids))"

_EVENT_AT_MOST: Final = f"""
    CASE WHEN {_EVENT_PACKED} IS NULL THEN {_EVENT_STORED} ELSE 100 * least({_EVENT_STORED}, 1000000) END
"""
_ENTITY_AT_MOST: Final = f"""
    CASE WHEN {_ENTITY_PACKED} IS NULL THEN {_ENTITY_STORED} ELSE 100 * least({_ENTITY_STORED}, 1000000) END
"""

# Parts of the log. $1 to $6 are the span, $7 to $10 the filters and the device, $11 whether entities are wanted.

_GIVEN: Final = """
    given AS (
        SELECT $1::text, $2::bigint, $3::bigint, $4::bigint, $5::bigint, $6::bigint, $7::text, $8::text, $9::text,
               $10::text, $11::boolean, $12::timestamptz, $13::text
    )
"""

_HEAD: Final = f"""
    head AS MATERIALIZED (
        SELECT {EPOCH_SEEN} AS epoch, head,
               CASE WHEN {EPOCH_SEEN} = coalesce($1, {EPOCH_SEEN}) AND head >= $2
                    THEN least(head, $3) ELSE $2 END AS known
        FROM sync_head
        WHERE {_IN_ORDER}
    )
"""

# A join could be planned as a walk through a whole table; a subquery looks each one up.
_MATCHING: Final = f"""
    ($7 IS NULL OR (SELECT {_FORM} FROM entities n WHERE n.guid = e.entity_guid) = $7)
    AND ($9 IS NULL OR NOT (e.account = $9 AND e.device_id = $10))
"""

_LAST_FOUND: Final = """
    span AS MATERIALIZED (
        SELECT CASE WHEN (SELECT count(*) FROM found) = $4 THEN (SELECT max(seq) FROM found) ELSE last END AS last
        FROM looked
    )
"""

# A bound that is known only when the statement runs would be taken for one that leaves little. So what is to be read in
# order up to a limit has none, and is cut by `least`.
_SPANS: Final = {
    "log": "span AS MATERIALIZED (SELECT least($2 + $5, known) AS last FROM head)",
    "filtered log": f"""
        looked AS MATERIALIZED (SELECT least($2 + $5, known) AS last FROM head),
        found AS MATERIALIZED (
            SELECT e.seq FROM events e
            WHERE e.seq > $2 AND e.seq <= $2 + $5 AND e.seq <= (SELECT last FROM looked) AND {_MATCHING}
            ORDER BY e.seq LIMIT $4
        ),
        {_LAST_FOUND}
    """,
    "mentions": f"""
        looked AS MATERIALIZED (
            SELECT least(known, (
                SELECT m.seq FROM mentions m
                WHERE m.entity_guid = $8 AND m.seq > $2 ORDER BY m.seq OFFSET $5 - 1 LIMIT 1
            )) AS last
            FROM head
        ),
        found AS MATERIALIZED (
            SELECT m.seq FROM mentions m
            WHERE m.entity_guid = $8 AND m.seq > $2 AND m.seq <= (SELECT last FROM looked)
              AND (SELECT {_MATCHING} FROM events e WHERE e.seq = m.seq)
            ORDER BY m.seq LIMIT $4
        ),
        {_LAST_FOUND}
    """,
    "entities": f"""
        looked AS MATERIALIZED (
            SELECT CASE WHEN $7 IS NULL THEN known ELSE least($2 + $5, known) END AS last FROM head
        ),
        span AS MATERIALIZED (
            SELECT least(last, (
                SELECT n.fed_seq FROM entities n
                WHERE n.fed_seq > $2 AND $8 IS NULL AND ($7 IS NULL OR n.fed_seq <= $2 + $5 AND {_FORM} = $7)
                ORDER BY n.fed_seq, n.guid OFFSET $4 - 1 LIMIT 1
            )) AS last
            FROM looked
        )
    """,
}

_FOUND_EVENT: Final = "e.seq = ANY (ARRAY(SELECT seq FROM found))"
_EVENTS: Final = {
    "log": "e.seq > $2 AND e.seq <= $2 + $5 AND e.seq <= (SELECT last FROM span)",
    "filtered log": _FOUND_EVENT,
    "mentions": _FOUND_EVENT,
    "entities": "false",
}

_FED: Final = f"""
    $11 AND n.fed_seq > $2 AND n.fed_seq <= (SELECT last FROM span)
    AND ($7 IS NULL OR {_FORM} = $7) AND ($8 IS NULL OR n.guid = $8)
"""
_FED_IN_WINDOW: Final = f"{_FED} AND n.fed_seq <= $2 + $5"
_ENTITIES: Final = {"log": _FED_IN_WINDOW, "filtered log": _FED_IN_WINDOW, "mentions": _FED, "entities": _FED}


async def read_part(db: Connection, wanted: Wanted, span: Span, stale: datetime) -> list[Row]:
    """The events of a part of the log, and the entities fed in it where they are wanted, as lines.

    Told of it: epoch, head; last: the number up to which it goes; fits: whether its data is light enough to be there;
    served: the number that the device was last served up to; stale: whether it has not pulled since the time `stale`.
    In another epoch than the span's, and beyond the head, there is nothing.
    """
    through = wanted.through
    return await db.fetch(
        f"""
        WITH {_GIVEN}, {_HEAD}, {_SPANS[through]},
        fitting AS MATERIALIZED (
            SELECT $6 IS NULL OR (SELECT coalesce(sum({_EVENT_AT_MOST}), 0) FROM events e WHERE {_EVENTS[through]})
                + (SELECT coalesce(sum({_ENTITY_AT_MOST}), 0) FROM entities n WHERE {_ENTITIES[through]}) <= $6 AS fits
        )
        SELECT textsend(json_build_object(
                   'epoch', h.epoch, 'head', h.head, 'last', s.last, 'fits', f.fits,
                   'served', d.served_seq, 'stale', coalesce(d.last_pull < $12, true))::text) AS line
        FROM head h CROSS JOIN span s CROSS JOIN fitting f
             LEFT JOIN devices d ON d.account = $13 AND d.id = $10
        UNION ALL
        (SELECT {_EVENT} FROM events e WHERE {_EVENTS[through]} AND (SELECT fits FROM fitting) ORDER BY e.seq)
        UNION ALL
        SELECT NULL
        UNION ALL
        (SELECT {_ENTITY} FROM entities n WHERE {_ENTITIES[through]} AND (SELECT fits FROM fitting)
         ORDER BY n.fed_seq, n.guid)
        """,
        *_values(wanted, span),
        stale,
        wanted.account,
    )


async def weigh_part(db: Connection, wanted: Wanted, span: Span) -> int:
    """The bytes of a part's data, about. Of one that has more than most_bytes as it is stored, packed or not: these."""
    through = wanted.through
    return int(
        await db.fetchval(
            f"""
            WITH {_GIVEN}, {_HEAD}, {_SPANS[through]}
            SELECT CASE WHEN stored > $6 THEN stored
                        ELSE (SELECT coalesce(sum({_EVENT_BYTES}), 0) FROM events e WHERE {_EVENTS[through]})
                           + (SELECT coalesce(sum({_ENTITY_BYTES}), 0) FROM entities n WHERE {_ENTITIES[through]}) END
            FROM (
                SELECT (SELECT coalesce(sum({_EVENT_STORED}), 0) FROM events e WHERE {_EVENTS[through]})
                     + (SELECT coalesce(sum({_ENTITY_STORED}), 0) FROM entities n WHERE {_ENTITIES[through]}) AS stored
            ) AS packed
            """,
            *_values(wanted, span),
            None,
            None,
        )
    )


def _values(wanted: Wanted, span: Span) -> tuple[object, ...]:
    return (
        span.epoch,
        span.after,
        span.up_to,
        span.limit,
        span.window,
        span.most_bytes,
        wanted.form,
        wanted.entity,
        wanted.account if wanted.others else None,
        wanted.device_id,
        wanted.entities,
    )


# Snapshots. $1 and $2 are the place, $3 the limit, $4 most_bytes, $5 the form.

_PIECE: Final = "n.state = 'live' AND (n.updated_ms, n.guid) > ($1, $2)"
_OF_FORM: Final = {True: f"{_FORM} = $5", False: "$5::text IS NULL"}
_UP_TO_LIMIT: Final = "ORDER BY n.updated_ms, n.guid LIMIT $3"


async def read_entities(
    db: Connection, after: tuple[int, str], limit: int, most_bytes: int | None, form: str | None
) -> list[Row]:
    """Live entities as lines, in the order of their places: (lastUpdated in milliseconds, guid). Behind such a place.

    Told of them: epoch; fits: whether their data is light enough to be there. Beside each line stands its updated_ms.
    What changes may change its place, and is fed under a number past the head as it was before.
    """
    of_form = form is not None
    return await db.fetch(
        f"""
        WITH fitting AS MATERIALIZED (
            SELECT $4::bigint IS NULL OR coalesce(sum(bytes), 0) <= $4 AS fits FROM (
                SELECT {_ENTITY_AT_MOST} AS bytes FROM entities n
                WHERE {_PIECE} AND {_OF_FORM[of_form]} {_UP_TO_LIMIT}) AS piece
        )
        SELECT textsend(json_build_object('epoch', h.{EPOCH_SEEN}, 'fits', f.fits)::text) AS line, NULL AS updated_ms
        FROM sync_head h CROSS JOIN fitting f
        WHERE {_IN_ORDER}
        UNION ALL
        (SELECT {_ENTITY}, n.updated_ms FROM entities n
         WHERE {_PIECE} AND {_OF_FORM[of_form]} AND (SELECT fits FROM fitting) {_UP_TO_LIMIT})
        """,
        *after,
        limit,
        most_bytes,
        form,
    )


async def weigh_entities(db: Connection, after: tuple[int, str], limit: int, most_bytes: int, form: str | None) -> int:
    """The bytes of what `read_entities` reads, about. Of more than most_bytes as it is stored, packed or not: these."""
    of_form = form is not None
    return int(
        await db.fetchval(
            f"""
            SELECT CASE WHEN stored > $4::bigint THEN stored
                        ELSE (SELECT coalesce(sum(bytes), 0) FROM (
                                  SELECT {_ENTITY_BYTES} AS bytes FROM entities n
                                  WHERE {_PIECE} AND {_OF_FORM[of_form]} {_UP_TO_LIMIT}) AS unpacked) END
            FROM (SELECT coalesce(sum(bytes), 0) AS stored FROM (
                      SELECT {_ENTITY_STORED} AS bytes FROM entities n
                      WHERE {_PIECE} AND {_OF_FORM[of_form]} {_UP_TO_LIMIT}) AS each) AS packed
            """,
            *after,
            limit,
            most_bytes,
            form,
        )
    )


async def count_entities(db: Connection, form: str | None) -> int:
    """How many live entities there are, of the form where one is asked for."""
    return int(
        await db.fetchval(
            "SELECT coalesce(sum(n), 0)::bigint FROM entity_counts WHERE $1::text IS NULL OR form = $1", form
        )
    )


# Devices


async def is_stale(db: Connection, account: str, device_id: str, since: datetime) -> bool:
    """Whether the device has not pulled since the time."""
    return not await db.fetchval(
        "SELECT EXISTS (SELECT FROM devices WHERE account = $1 AND id = $2 AND last_pull >= $3)",
        account,
        device_id,
        since,
    )


async def note_pull(db: Connection, account: str, device_id: str, at: datetime, served_seq: int | None) -> None:
    """Notes that the device pulled, and the number it was served up to where that is known.

    While the device pushes its row is locked: nothing is noted then, rather than to wait for it. Nor is the disk waited
    for; what a crash takes is noted by the next pull.
    """
    await db.execute(
        """
        WITH quickly AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)),
        free AS MATERIALIZED (
            SELECT d.account, d.id FROM devices d WHERE d.account = $1 AND d.id = $2 FOR UPDATE SKIP LOCKED
        ),
        known AS (
            UPDATE devices d SET last_pull = $3, served_seq = coalesce($4, d.served_seq)
            FROM free, quickly WHERE d.account = free.account AND d.id = free.id
        )
        INSERT INTO devices (account, id, last_pull, served_seq)
        SELECT $1, $2, $3, $4 FROM quickly
        WHERE NOT EXISTS (SELECT FROM devices d WHERE d.account = $1 AND d.id = $2)
        ON CONFLICT (account, id) DO NOTHING
        """,
        account,
        device_id,
        at,
        served_seq,
    )
