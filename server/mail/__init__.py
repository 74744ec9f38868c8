"""Mail to people: what a letter is, who carries it, and the queue in which it waits for that."""

from server.mail.letter import Letter
from server.mail.outbox import Outbox
from server.mail.sending import Sender, Undeliverable

__all__ = ["Letter", "Outbox", "Sender", "Undeliverable"]
