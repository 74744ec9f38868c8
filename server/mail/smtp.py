"""Sending by SMTP, over TLS."""

from typing import Final

import aiosmtplib

from server.kit.mail_server import MailServer, domain_of
from server.mail.letter import Letter, address_of, message_of
from server.mail.sending import NotNow, Undeliverable

SECONDS: Final = 30.0
"""For each step of talking to the mail server."""


class SmtpSender:
    """Hands letters to a mail server, one connection for each: they are few."""

    def __init__(self, server: MailServer, sender: str) -> None:
        self._server = server
        self._sender = sender
        # Asking the system for its own name can take as long as the name server likes.
        self._domain = domain_of(sender)

    async def send(self, letter: Letter) -> None:
        """Raises Undeliverable where the server refuses for good (5xx), NotNow for everything else that goes wrong."""
        message, server = message_of(letter, self._sender), self._server
        try:
            await aiosmtplib.send(
                message,
                recipients=[address_of(letter.to)],
                hostname=server.host,
                local_hostname=self._domain,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                start_tls=server.starttls,
                timeout=SECONDS,
            )
        except (aiosmtplib.SMTPException, OSError) as error:
            raise _meaning_of(error) from error


def _meaning_of(error: Exception) -> Exception:
    # What a server answers may repeat what it was sent: only the class and the number of an answer are told.
    code = _code_of(error)
    told = f"{type(error).__name__} {code or ''}".strip()
    refused_for_good = isinstance(error, aiosmtplib.SMTPRecipientsRefused | aiosmtplib.SMTPDataError) and code >= 500
    return Undeliverable(told) if refused_for_good else NotNow(told)


def _code_of(error: Exception) -> int:
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return max((each.code for each in error.recipients), default=0)
    return error.code if isinstance(error, aiosmtplib.SMTPResponseException) else 0
