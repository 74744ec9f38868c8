"""Who carries letters."""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from server.mail.letter import Letter


class Undeliverable(Exception):
    """Trying again will not help: there is no such address, or the server refuses for good."""


class NotNow(Exception):
    """It did not work this time; later it may."""


class Sender(Protocol):
    """Carries letters. `send` returns once somebody else has taken charge of it, raises Undeliverable or NotNow."""

    async def send(self, letter: "Letter") -> None: ...
