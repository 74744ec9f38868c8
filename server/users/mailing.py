"""How people are reached by mail, and the links in mails. Tokens stand behind a #: they get into no log and Referer."""

from dataclasses import dataclass

from server.mail import Outbox


@dataclass(frozen=True, slots=True)
class Links:
    """Leads to the pages of this installation; without its public address, mails hold the token alone.

    The address is never taken from a request: whoever asks for a mail would choose where its token leads.
    """

    base_url: str | None

    def how_to(self, what: str, path: str, token: str) -> str:
        """The paragraph that says how to do what the token is for."""
        if self.base_url is None:
            return f"To {what}, use this code in the app, or give it to your administrators' page:\n\n    {token}"
        return f"To {what}, open this address:\n\n    {self.base_url}{path}#token={token}"


@dataclass(frozen=True, slots=True)
class Mailing:
    """The queue of mails, and where the links in them lead."""

    outbox: Outbox
    links: Links
