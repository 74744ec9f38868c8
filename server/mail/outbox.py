"""The queue between a request, which does not wait for mail, and the sender."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from server.mail.letter import Letter
from server.mail.sending import NotNow, Sender, Undeliverable

log = logging.getLogger("croft.mail")

MOST_WAITING: Final = 2000
AT_ONCE: Final = 4
TRY_AGAIN_AFTER: Final = (5.0, 30.0, 120.0)
"""Seconds before the second try and the following; after the last of them it is given up."""

LAST_SECONDS: Final = 5.0
"""For what still waits when the server stops."""

Writing = Callable[[], Awaitable[Sequence[Letter]]]
"""Finds out whether there is anything to tell, and writes it."""


@dataclass(frozen=True, slots=True)
class _Posted:
    letter: Letter
    tries: int = 0


class Outbox:
    """Takes letters and never lets their sender's caller wait, or know whether there was anything to send.

    It is kept in memory: what a kill of the process loses is asked for again by who misses it. Nothing is sent before
    `run` runs.
    """

    def __init__(self, sender: Sender, *, try_again_after: Sequence[float] = TRY_AGAIN_AFTER) -> None:
        self._sender = sender
        self._try_again_after = tuple(try_again_after)
        self._queue: asyncio.Queue[_Posted | Writing] = asyncio.Queue(MOST_WAITING)

    def post(self, *letters: Letter) -> None:
        """Sends letters, soon. To be called once the transaction that they tell of is committed."""
        for letter in letters:
            self._put(_Posted(letter))

    def write_later(self, writing: Writing) -> None:
        """Lets somebody write letters, soon, outside of the request: its answer takes as long if there are none."""
        self._put(writing)

    async def run(self) -> None:
        """Sends what is posted, and when it is cancelled what still waits, as far as that goes."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(AT_ONCE):
                    tasks.create_task(self._work())
        finally:
            await self._finish()

    async def _work(self) -> None:
        working = asyncio.current_task()
        # A connection that is closed just then may have kept the cancellation to itself.
        while working and not working.cancelling():
            await self._handle(await self._queue.get())

    async def _finish(self) -> None:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while not self._queue.empty():
                    await self._handle(self._queue.get_nowait())
        except TimeoutError:
            log.warning("the server stopped before %d mails were sent", self._queue.qsize() + 1)

    async def _handle(self, item: "_Posted | Writing") -> None:
        if isinstance(item, _Posted):
            await self._send(item)
            return
        try:
            self.post(*await item())
        except Exception:
            # Whatever it is, the next letter is to be sent; without its details, which may show whom it was for.
            log.exception("a mail could not be written")

    async def _send(self, posted: _Posted) -> None:
        purpose = posted.letter.purpose
        try:
            await self._sender.send(posted.letter)
            log.info("mail sent", extra={"purpose": purpose})
        except Undeliverable as error:
            log.warning("mail refused", extra={"purpose": purpose, "reason": str(error)})
        except NotNow as error:
            self._try_again(posted, str(error))

    def _try_again(self, posted: _Posted, reason: str) -> None:
        if posted.tries >= len(self._try_again_after):
            log.error("mail given up", extra={"purpose": posted.letter.purpose, "reason": reason})
            return
        seconds = self._try_again_after[posted.tries]
        log.warning("mail not sent yet", extra={"purpose": posted.letter.purpose, "reason": reason})
        again = _Posted(posted.letter, posted.tries + 1)
        asyncio.get_running_loop().call_later(seconds, self._put, again)

    def _put(self, item: "_Posted | Writing") -> None:
        try:
            self._queue.put_nowait(item)
        except asyncio.QueueFull:
            log.error("mail dropped: too many wait")
