"""A letter to one person, and the message that goes out for it."""

import re
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from server.kit.clock import utc_now
from server.mail.sending import Undeliverable

# Anything that ends a line, steers a terminal or turns the direction of writing.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


# The last is how the parser of headers says that it came to the end.
_UNFIT = (ValueError, MessageError, IndexError)


@dataclass(frozen=True, slots=True)
class Letter:
    """What one person is to be told. `purpose` is a word for the log, which never shows the text: it may hold a token.

    The text is plain, its lines end with a line feed.
    """

    purpose: str
    to: str
    subject: str
    text: str = field(repr=False)


def one_line(text: str, most: int = 100) -> str:
    """A name that somebody chose, such that within a letter it is nothing but a part of a line."""
    plain = _UNSAFE.sub(" ", text).strip()
    return plain if len(plain) <= most else f"{plain[: most - 1]}…"


def message_of(letter: Letter, sender: str) -> EmailMessage:
    """The message from `sender`, an e-mail address or `Name <address>`. Raises Undeliverable for what is no address.

    Nothing in a letter can add a header or another recipient.
    """
    message = EmailMessage(policy=SMTP)
    try:
        message["From"] = sender
        message["To"] = Address(addr_spec=address_of(letter.to))
        message["Subject"] = letter.subject
    except _UNFIT as error:
        raise Undeliverable("an address or the subject is not fit for a header") from error
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = make_msgid(domain="croft.invalid")
    # So that no auto-responder answers.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    return message


def address_of(text: str) -> str:
    """The one address that the text is, its domain in ASCII. Raises Undeliverable for anything else."""
    try:
        address = Address(addr_spec=text)
        domain = address.domain.encode("idna").decode("ascii")
    except _UNFIT as error:
        raise Undeliverable("this is not the address of one mailbox") from error
    if not address.username or not domain:
        raise Undeliverable("this is not the address of one mailbox")
    return Address(username=address.username, domain=domain).addr_spec
