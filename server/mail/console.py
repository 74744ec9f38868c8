"""Senders for where there is no mail server: one shows mails, for development, one says that it does not send them."""

import logging

from server.mail.letter import Letter, message_of
from server.mail.sending import Undeliverable

log = logging.getLogger("croft.mail")


class ConsoleSender:
    """Writes every letter to the log, whole: whoever reads the log can use the tokens in it."""

    async def send(self, letter: Letter) -> None:
        """Shows the letter between two lines, one record for each line of it."""
        message = message_of(letter, "croft@localhost")
        log.info("┌── a mail that is shown instead of sent")
        log.info("│ To: %s", message["To"])
        log.info("│ Subject: %s", message["Subject"])
        for line in ["", *letter.text.splitlines()]:
            log.info("│ %s", line)
        log.info("└──")


class NoSender:
    """Sends nothing and shows nothing: a production log is read by more people than may take accounts over."""

    async def send(self, letter: Letter) -> None:
        """Raises Undeliverable."""
        raise Undeliverable("SMTP_URL is not set")
