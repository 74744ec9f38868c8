"""What handlers are given besides their call."""

from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import CollectorRegistry

from server.auth.login import Checking
from server.auth.sessions import Sessions
from server.db import Database
from server.live.hub import Hub
from server.metrics.exposition import Exposition
from server.oidc.identification import TenantProviders
from server.tenants.counting import EntityCounts
from server.users.mailing import Mailing
from server.vault import Keyring


@dataclass(frozen=True, slots=True)
class Parts:
    """What handlers are given besides their call."""

    database: Database
    sessions: Sessions
    keyring: Keyring
    mailing: Mailing
    providers: TenantProviders
    registry: CollectorRegistry
    exposition: Exposition
    bcrypt_cost: int
    clock_tolerance: timedelta
    counts: EntityCounts
    live: Hub
    metrics_token: str | None

    @property
    def checking(self) -> Checking:
        """What logins are checked with."""
        return Checking(self.database, self.keyring, self.bcrypt_cost)
