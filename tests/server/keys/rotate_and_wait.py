"""A process that rotates keys and stops after the first batch: `python rotate_and_wait.py DSN KEY OTHER_KEY`.

It says how far it is on standard output and then waits to be killed.
"""

import asyncio
import signal
import sys

from server.audit import Author
from server.db import Database
from server.keys.rotation import rotate
from server.vault import Keyring


def wait(kind: str, seen: int, total: int) -> None:
    """Never returns once something was done."""
    if seen:
        print(kind, seen, total, flush=True)
        signal.pause()


async def main(dsn: str, key: str, other: str) -> None:
    """Never returns."""
    async with Database(dsn, size=1) as database:
        await rotate(database, Keyring(key, [other]), Author("test"), progress=wait)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
