"""The SQL of the record of acts, on the shared schema."""

from server.db.connection import Connection

_INSERT_ACT = """
INSERT INTO audit (actor, session_id, address, action, subject, details) VALUES ($1, $2, $3, $4, $5, $6::jsonb)
"""


async def insert_act(
    db: Connection, actor: str, session_id: str, address: str, action: str, subject: str, details: str
) -> None:
    """Adds one act. `details` is a JSON text."""
    await db.execute(_INSERT_ACT, actor, session_id, address, action, subject, details)
