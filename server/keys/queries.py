"""The SQL of keys and of all that is sealed, on the shared schema."""

from collections.abc import Sequence

from server.db.connection import Connection, Row


async def note_key(db: Connection, key_id: str) -> None:
    """Notes that a key seals."""
    await db.execute("INSERT INTO encryption_keys (id) VALUES ($1) ON CONFLICT DO NOTHING", key_id)


async def list_noted_keys(db: Connection) -> list[str]:
    """The keys that sealed something and were not forgotten since."""
    return [row["id"] for row in await db.fetch("SELECT id FROM encryption_keys ORDER BY first_used, id")]


async def forget_keys(db: Connection, key_ids: Sequence[str]) -> None:
    """Notes that nothing is sealed with these keys any more."""
    await db.execute("DELETE FROM encryption_keys WHERE id = ANY($1)", key_ids)


# Config versions


async def count_configs(db: Connection) -> int:
    """How many config versions there are."""
    return int(await db.fetchval("SELECT count(*) FROM config_versions"))


_LIST_CONFIGS = """
SELECT v.tenant_id, v.number,
       (SELECT json_object_agg(part.key, part.value)::text
        FROM json_each(v.document) AS part WHERE part.key <> ALL($3)) AS part
FROM config_versions v WHERE (v.tenant_id, v.number) > ($1, $2)
ORDER BY v.tenant_id, v.number LIMIT $4
"""


async def list_configs_after(
    db: Connection, tenant_id: int, number: int, leaving_out: Sequence[str], limit: int
) -> list[Row]:
    """tenant_id, number, and as `part` the text of the document without some keys of its top."""
    return await db.fetch(_LIST_CONFIGS, tenant_id, number, leaving_out, limit)


async def find_config(db: Connection, tenant_id: int, number: int) -> str | None:
    """The text of a config version's document."""
    sql = "SELECT document::text FROM config_versions WHERE tenant_id = $1 AND number = $2"
    text: str | None = await db.fetchval(sql, tenant_id, number)
    return text


_REPLACE_CONFIG = """
UPDATE config_versions SET document = $4::json
WHERE tenant_id = $1 AND number = $2 AND document::text = $3
RETURNING true
"""


async def replace_config(db: Connection, tenant_id: int, number: int, before: str, after: str) -> bool:
    """Puts another document in the place of the one that was read. False where somebody else changed it since."""
    return bool(await db.fetchval(_REPLACE_CONFIG, tenant_id, number, before, after))


# Second factors


async def count_seeds(db: Connection) -> int:
    """How many second factors there are."""
    return int(await db.fetchval("SELECT count(*) FROM second_factors"))


async def list_seeds_after(db: Connection, user_id: int, limit: int) -> list[Row]:
    """user_id and the sealed seed."""
    sql = "SELECT user_id, seed FROM second_factors WHERE user_id > $1 ORDER BY user_id LIMIT $2"
    return await db.fetch(sql, user_id, limit)


async def replace_seed(db: Connection, user_id: int, before: str, after: str) -> bool:
    """Puts another seed in the place of the one that was read. False where somebody else changed it since."""
    sql = "UPDATE second_factors SET seed = $3 WHERE user_id = $1 AND seed = $2 RETURNING true"
    return bool(await db.fetchval(sql, user_id, before, after))
