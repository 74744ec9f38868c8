"""The whole map: every URL with its method, handler, permission and scope."""

from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from server.auth.tokens import Tokens
from server.db import Database
from server.http.route import Route


@dataclass(frozen=True, slots=True)
class Parts:
    """What handlers are given besides their call."""

    database: Database
    tokens: Tokens
    registry: CollectorRegistry
    session_lifetime: timedelta
    bcrypt_cost: int
    clock_tolerance: timedelta
    metrics_token: str | None


def routes(parts: Parts) -> list[Route]:
    """Every route there is. A path with a fixed word stands before one with a parameter in its place."""
    return [
        *_users(parts),
        *_tenants(parts),
        *_sync(parts),
        *_entities(),
        *_duplicates(parts),
        *_operating(parts),
    ]


def _users(parts: Parts) -> list[Route]:
    return []


def _tenants(parts: Parts) -> list[Route]:
    return []


def _sync(parts: Parts) -> list[Route]:
    return []


def _entities() -> list[Route]:
    return []


def _duplicates(parts: Parts) -> list[Route]:
    return []


def _operating(parts: Parts) -> list[Route]:
    return []
