"""A mail server on the loopback that keeps what it is given, and a Croft that sends its mails there."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import asyncpg
import pytest_asyncio
from aiosmtpd.smtp import SMTP, Envelope, Session
from pydantic import SecretStr

from server.db.embedded import EmbeddedPostgres
from tests.conftest import Croft, new_database, start_croft

BASE_URL = "https://croft.ministry.test"
_TOKEN = re.compile(r"#token=([\w-]+)")


@dataclass(frozen=True, slots=True)
class Received:
    """A mail as it arrived: for whom, by its envelope, and the message."""

    recipients: tuple[str, ...]
    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return str(self.message.get_content())

    @property
    def token(self) -> str:
        """The token in the link."""
        found = _TOKEN.search(self.text)
        assert found, self.text
        return found[1]


@dataclass
class Mailbox:
    """Takes every mail; `answers` are given first, in their order, in place of 250."""

    port: int = 0
    answers: list[str] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    tried: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """What aiosmtpd calls for each mail."""
        assert isinstance(envelope.content, bytes)
        async with self._changed:
            self.tried += 1
            answer = self.answers.pop(0) if self.answers else "250 taken"
            if answer.startswith("250"):
                message = message_from_bytes(envelope.content, policy=default)
                assert isinstance(message, EmailMessage)
                self.received.append(Received(tuple(envelope.rcpt_tos), message))
            self._changed.notify_all()
        return answer

    async def take(self, to: str) -> Received:
        """The oldest mail to the address that was not taken yet; waits for it."""

        def found() -> Received | None:
            return next((each for each in self.received if each.recipients == (to,)), None)

        async with asyncio.timeout(20), self._changed:
            await self._changed.wait_for(found)
            mail = found()
            assert mail is not None
            self.received.remove(mail)
            return mail


@asynccontextmanager
async def running_mailbox(**options: Any) -> AsyncIterator[Mailbox]:
    """A mail server for as long as the block runs. `options` are those of aiosmtpd's SMTP."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    # Asking the system for its own name would take as long as the name server likes.
    options = {"hostname": "mailbox.test", "loop": loop, **options}
    server = await loop.create_server(lambda: SMTP(mailbox, **options), "127.0.0.1", 0)
    mailbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield mailbox


@dataclass
class MailingCroft:
    """A server and the mailbox that it sends to."""

    croft: Croft
    mailbox: Mailbox


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def mailing(cluster: EmbeddedPostgres) -> AsyncIterator[MailingCroft]:
    """A server that sends mails, for the tests of one module."""
    async with (
        running_mailbox() as mailbox,
        start_croft(
            await new_database(cluster),
            smtp_url=SecretStr(mailbox.url),
            mail_from="Croft <croft@ministry.test>",
            public_base_url=BASE_URL,
        ) as croft,
    ):
        yield MailingCroft(croft, mailbox)


async def rows_of(croft: Croft, sql: str, *values: Any) -> list[Any]:
    """What the SQL gives, run as whoever administers the database."""
    db = await asyncpg.connect(croft.addresses.direct)
    try:
        return list(await db.fetch(sql, *values))
    finally:
        await db.close()
