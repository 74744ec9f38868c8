"""Where mails are handed in, and whom they are from, as an operator writes it."""

from dataclasses import dataclass, field
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from urllib.parse import parse_qs, unquote, urlsplit

CONSOLE = "console"
"""In place of an address: mails are shown in the log."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FORM = "smtp://user:password@mail.example.org:587 or smtps://user:password@mail.example.org"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed in. `tls` is from the first byte on, `starttls` before anything is told to the server."""

    host: str
    port: int
    tls: bool
    starttls: bool
    user: str | None = None
    password: str | None = field(default=None, repr=False)


def parse_smtp_url(url: str) -> MailServer:
    """The mail server at `smtp://…`, which has to know STARTTLS, or `smtps://…`, which speaks TLS only.

    `?tls=off` does without, for a relay in a network of one's own; on the loopback that goes without saying. With a
    password TLS is a must. Raises ValueError, without the password.
    """
    try:
        parts = urlsplit(url)
        options = parse_qs(parts.query, strict_parsing=bool(parts.query))
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"must be an address such as {_FORM}") from None
    without = options == {"tls": ["off"]}
    if parts.scheme not in ("smtp", "smtps") or not host or parts.path.strip("/") or (options and not without):
        raise ValueError(f"must be an address such as {_FORM}")
    is_tls, is_near = parts.scheme == "smtps", host in _LOOPBACK
    if without and (is_tls or (parts.password and not is_near)):
        raise ValueError("tls=off is for a relay that asks for no password, at an address that begins with smtp://")
    return MailServer(
        host=host,
        port=port or (465 if is_tls else 587),
        tls=is_tls,
        starttls=not (is_tls or without or is_near),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
    )


def domain_of(sender: str) -> str:
    """The domain of one e-mail address, with or without a name before it. Raises ValueError for anything else."""
    try:
        message = EmailMessage(policy=SMTP)
        message["From"] = sender
        [address] = message["From"].addresses
        is_fit = bool(address.username and address.domain) and not message["From"].defects
    except (ValueError, MessageError, IndexError):
        is_fit = False
    if not is_fit:
        raise ValueError("must be an e-mail address, such as Croft <croft@example.org>")
    return str(address.domain)
