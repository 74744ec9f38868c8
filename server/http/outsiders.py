"""What operators do with tenants' data by their power over the installation, and not as members, is put on record."""

from server.audit import author_of, record
from server.db import Database
from server.http.route import Route
from server.kit.call import Call
from server.roles.decision import acts_as_operator

_MOST_CHARACTERS = 200
"""How much is kept of each thing that an address names."""


async def record_operator(database: Database, route: Route, call: Call) -> None:
    """Puts an operator's request on both records, in a transaction of its own: it was made, whatever becomes of it.

    Does nothing for anybody else, nor where no tenant is concerned.
    """
    if call.tenant is None or not acts_as_operator(call.caller, route.permission):
        return
    named = {name: _kept(str(value)) for name, value in call.path.items()}
    async with database.shared() as db:
        await record(
            db,
            author_of(call),
            "tenant.accessed-by-operator",
            call.tenant.subject,
            tenant=call.tenant,
            details={"request": f"{route.method} {route.path}", "named": named},
        )


def _kept(value: str) -> str:
    """What is kept of a thing that the address names: of a person's e-mail address, only that it was one."""
    return "an e-mail address" if "@" in value else value[:_MOST_CHARACTERS].replace("\0", "\ufffd")
