"""A process that provisions a tenant and stops in the middle: `python provision_and_wait.py DSN CONFIG_ID STEP`.

It says so on standard output when the step is done and then waits to be killed.
"""

import asyncio
import sys

from server.audit import Author
from server.db import Database
from server.duplicates.finding import load_and_find_pairs
from server.tenants.uploading import apply_config
from server.vault import Keyring


async def main(dsn: str, config_id: str, wanted: str) -> None:
    """Never returns."""

    async def wait_at(step: str) -> None:
        if step == wanted:
            print(step, flush=True)
            await asyncio.Event().wait()

    document = {"id": config_id, "name": "Half-made", "entityForms": [{"name": "person"}]}
    keyring = Keyring("a key of this process that is long enough")
    async with Database(dsn, size=1) as database, database.shared() as db:
        await apply_config(db, document, Author("test"), load_and_find_pairs, keyring, on_step=wait_at)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
