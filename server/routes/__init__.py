"""The whole map: every URL with its method, handler, permission and scope."""

from server.http.route import Route
from server.routes.accounts import account_routes
from server.routes.members import member_routes
from server.routes.operating import operating_routes
from server.routes.parts import Parts
from server.routes.records import record_routes
from server.routes.signing_in import sign_in_routes
from server.routes.sync import sync_routes
from server.routes.tenants import tenant_routes

__all__ = ["Parts", "routes"]


def routes(parts: Parts) -> list[Route]:
    """Every route there is. A path with a fixed word stands before one with a parameter in its place.

    A parameter holds no slash, except one of the type `text`, which holds anything.
    """
    table = [
        *account_routes(parts),
        *sign_in_routes(parts),
        *member_routes(parts),
        *tenant_routes(parts),
        *sync_routes(parts),
        *record_routes(parts),
    ]
    table += operating_routes(parts, table)
    return table
