"""Which keys are needed: told when a server starts, by one small table and not by all that is sealed."""

import logging

from server.db import Database
from server.keys import queries
from server.vault import Keyring

log = logging.getLogger(__name__)


async def note_keys(database: Database, keyring: Keyring) -> list[str]:
    """Notes the key that seals. Answers, and logs, the ids of the keys that sealed something and are not there."""
    async with database.shared() as db:
        await queries.note_key(db, keyring.current)
        missing = [key_id for key_id in await queries.list_noted_keys(db) if not keyring.has_key(key_id)]
    if missing:
        log.warning(
            "Secrets sealed with the keys %s cannot be read: ENCRYPTION_KEY and ENCRYPTION_OTHER_KEYS lack them. "
            "`croft secrets status` tells more.",
            ", ".join(missing),
        )
    return missing
