"""The whole map: every URL with its method, handler, permission and scope."""

from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry

from server.auth import api as auth
from server.auth.model import Credentials, LoginAnswer, Message
from server.auth.sessions import Sessions
from server.auth.tokens import Tokens
from server.conflicts import api as conflicts
from server.conflicts.finding import note_conflicts
from server.conflicts.model import Choice, Conflict, ConflictsQuery, History, HistoryQuery
from server.db import Database
from server.duplicates import api as duplicates
from server.duplicates.finding import load_and_find_pairs
from server.duplicates.gate import blocking
from server.duplicates.model import PairsQuery, PotentialDuplicate, Resolution, Resolved
from server.entities import api as entities
from server.entities.model import (
    EntitiesQuery,
    EntityCount,
    EntityDetail,
    EntityEvent,
    EntityQuery,
    EntitySummary,
    EventsQuery,
)
from server.health import api as health
from server.health.model import Health, Readiness
from server.http.route import Handler, Route
from server.live import api as live
from server.live.hub import Hub
from server.metrics import api as metrics
from server.metrics.exposition import Exposition
from server.metrics.sync import SyncMetrics
from server.openapi import api as openapi
from server.openapi.api import Reference
from server.roles.permissions import Permission
from server.sync import api as sync
from server.sync.v2 import api as sync_v2
from server.sync.v2.model import PulledPage, PullQuery, SnapshotQuery
from server.tenants import api as apps
from server.tenants import artifacts
from server.tenants import operating as tenants
from server.tenants.artifacts import KeptArtifacts
from server.tenants.counting import EntityCounts
from server.tenants.wire import (
    AppDocument,
    AppList,
    AppsQuery,
    ConfigVersion,
    Done,
    NewTenant,
    PublicArtifact,
    Restore,
    RollBack,
    TenantAnswer,
    TenantList,
    TenantsQuery,
    UploadAnswer,
)
from server.users import api as users
from server.users.model import NewUser, UserAnswer, UserChange, UserCreated, UsersQuery


@dataclass(frozen=True, slots=True)
class Parts:
    """What handlers are given besides their call."""

    database: Database
    tokens: Tokens
    registry: CollectorRegistry
    exposition: Exposition
    session_lifetime: timedelta
    bcrypt_cost: int
    clock_tolerance: timedelta
    counts: EntityCounts
    live: Hub
    metrics_token: str | None


def routes(parts: Parts) -> list[Route]:
    """Every route there is. A path with a fixed word stands before one with a parameter in its place.

    A parameter holds no slash, except one of the type `text`, which holds anything.
    """
    sync_metrics = SyncMetrics(parts.registry)
    table = [
        *_users(parts),
        *_tenants(parts),
        *_sync(parts, sync_metrics),
        *_sync_v2(parts, sync_metrics),
        *_conflicts(),
        *_entities(),
        *_duplicates(),
    ]
    table += _operating(parts, table)
    return table


def _users(parts: Parts) -> list[Route]:
    sessions = Sessions(parts.tokens, parts.session_lifetime)
    database, cost = parts.database, parts.bcrypt_cost
    return [
        Route(
            "POST",
            "/api/users/login",
            partial(auth.login, database=database, sessions=sessions, bcrypt_cost=cost),
            Permission.PUBLIC,
            "Sign in",
            "accounts",
            scope="none",
            tenant="none",
            body=Credentials,
            answers={200: LoginAnswer},
            problems=(401, 429),
        ),
        Route(
            "POST",
            "/api/users/logout",
            auth.logout,
            Permission.SIGNED_IN,
            "Sign out: end this session",
            "accounts",
            scope="shared",
            tenant="none",
            answers={200: Message},
        ),
        Route(
            "GET",
            "/api/users/check-token",
            auth.check_token,
            Permission.SIGNED_IN,
            "Whether the token holds",
            "accounts",
            scope="none",
            tenant="none",
            write=False,
            answers={200: Message},
        ),
        Route(
            "GET",
            "/api/users/me",
            users.show_me,
            Permission.SIGNED_IN,
            "The caller's own account",
            "accounts",
            scope="shared",
            tenant="none",
            write=False,
            answers={200: UserAnswer},
        ),
        Route(
            "GET",
            "/api/users",
            users.list_users,
            Permission.USERS_MANAGE,
            "List accounts",
            "accounts",
            scope="shared",
            tenant="none",
            write=False,
            query=UsersQuery,
            answers={200: list[UserAnswer]},
        ),
        Route(
            "POST",
            "/api/users",
            partial(users.create_user, database=database, bcrypt_cost=cost),
            Permission.USERS_MANAGE,
            "Create an account",
            "accounts",
            scope="none",
            tenant="none",
            body=NewUser,
            answers={201: UserCreated},
            problems=(409, 429),
        ),
        Route(
            "PUT",
            "/api/users/{user}",
            partial(users.update_user, database=database, bcrypt_cost=cost),
            Permission.USERS_MANAGE,
            "Change an account, by its id or e-mail address",
            "accounts",
            scope="none",
            tenant="none",
            body=UserChange,
            answers={200: Message},
            problems=(404, 409, 429),
        ),
        Route(
            "DELETE",
            "/api/users/{user}",
            users.delete_user,
            Permission.USERS_MANAGE,
            "Delete an account, by its id or e-mail address",
            "accounts",
            scope="shared",
            tenant="none",
            answers={200: Message},
            problems=(404, 409),
        ),
    ]


def _tenants(parts: Parts) -> list[Route]:
    return [*_apps(parts), *_tenants_of_operators(parts), *_artifacts()]


def _apps(parts: Parts) -> list[Route]:
    return [
        Route(
            "POST",
            "/api/apps",
            partial(apps.upload_app, load=load_and_find_pairs),
            Permission.CONFIG_WRITE,
            "Upload an app config: a new tenant, or the next version of one",
            "apps",
            scope="shared",
            tenant="optional",
            upload=True,
            answers={200: UploadAnswer},
            problems=(409,),
        ),
        Route(
            "GET",
            "/api/apps",
            partial(apps.list_apps, database=parts.database, counts=parts.counts),
            Permission.SIGNED_IN,
            "List the apps the caller may see",
            "apps",
            scope="none",
            tenant="none",
            write=False,
            query=AppsQuery,
            answers={200: AppList},
        ),
        Route(
            "GET",
            "/api/apps/{id}",
            apps.get_app,
            Permission.CONFIG_READ,
            "The whole config of an app, secrets masked",
            "apps",
            scope="shared",
            tenant_in_path="id",
            write=False,
            answers={200: AppDocument},
            problems=(404,),
        ),
        Route(
            "PUT",
            "/api/apps/{id}",
            partial(apps.patch_app, load=load_and_find_pairs),
            Permission.CONFIG_WRITE,
            "Change an app config: absent keys are kept, null removes one",
            "apps",
            scope="shared",
            tenant_in_path="id",
            upload=True,
            answers={200: UploadAnswer},
            problems=(404, 409),
        ),
        Route(
            "DELETE",
            "/api/apps/{id}",
            apps.delete_app,
            Permission.TENANTS_MANAGE,
            "Delete the tenant with this config id, if there is one",
            "apps",
            scope="shared",
            tenant="none",
            answers={200: Done},
        ),
        Route(
            "GET",
            "/api/apps/{id}/versions",
            apps.list_versions,
            Permission.CONFIG_READ,
            "Every upload of an app config, the newest first",
            "apps",
            scope="shared",
            tenant_in_path="id",
            write=False,
            answers={200: list[ConfigVersion]},
            problems=(404,),
        ),
        Route(
            "POST",
            "/api/apps/{id}/rollback",
            partial(apps.roll_back_app, load=load_and_find_pairs),
            Permission.CONFIG_WRITE,
            "Make an earlier version of an app config the next one",
            "apps",
            scope="shared",
            tenant_in_path="id",
            body=RollBack,
            answers={200: UploadAnswer},
            problems=(404, 409),
        ),
    ]


def _tenants_of_operators(parts: Parts) -> list[Route]:
    def line(
        method: str,
        path: str,
        handler: Handler,
        summary: str,
        *,
        problems: tuple[int, ...] = (404, 409),
        status: int = 200,
        **more: Any,
    ) -> Route:
        return Route(
            method,
            path,
            handler,
            Permission.TENANTS_MANAGE,
            summary,
            "tenants",
            tenant="none",
            problems=problems,
            **{"scope": "shared", "answers": {status: TenantAnswer}, **more},
        )

    one = "/api/tenants/{id}"
    return [
        line(
            "POST",
            "/api/tenants",
            partial(tenants.create_tenant, load=load_and_find_pairs),
            "Create a tenant without forms",
            body=NewTenant,
            status=201,
            problems=(409,),
        ),
        line(
            "GET",
            "/api/tenants",
            partial(tenants.list_tenants, database=parts.database, counts=parts.counts),
            "List tenants",
            scope="none",
            write=False,
            query=TenantsQuery,
            answers={200: TenantList},
            problems=(),
        ),
        line("GET", one, tenants.get_tenant, "A tenant, by config id or number", write=False, problems=(404,)),
        line("DELETE", one, tenants.delete_tenant, "Delete a tenant; its data is kept for a while", problems=(404,)),
        line("POST", f"{one}/suspend", tenants.suspend_tenant, "Keep everybody but operators out of a tenant"),
        line("POST", f"{one}/resume", tenants.resume_tenant, "End the suspension of a tenant"),
        line(
            "POST",
            f"{one}/restore",
            partial(tenants.restore_tenant, load=load_and_find_pairs),
            "Bring a deleted tenant back",
            body=Restore,
            body_optional=True,
        ),
    ]


def _artifacts() -> list[Route]:
    kept = KeptArtifacts()
    return [
        Route(
            "GET",
            "/artifacts/{artifact}.json",
            partial(artifacts.get_artifact, kept=kept),
            Permission.PUBLIC,
            "What a phone needs to begin",
            "artifacts",
            scope="shared",
            tenant="none",
            write=False,
            answers={200: PublicArtifact},
            problems=(404, 421),
        ),
        Route(
            "GET",
            "/artifacts/{artifact}.png",
            artifacts.get_artifact_code,
            Permission.PUBLIC,
            "A QR code of the artifact's address",
            "artifacts",
            scope="shared",
            tenant="none",
            write=False,
            answers={200: None},
            problems=(404, 421),
            media_type="image/png",
        ),
    ]


def _sync(parts: Parts, metrics: SyncMetrics) -> list[Route]:
    return [
        Route(
            "POST",
            "/api/sync/push",
            partial(
                sync.push,
                tolerance=parts.clock_tolerance,
                follow=note_conflicts,
                metrics=metrics,
            ),
            Permission.SYNC_PUSH,
            "Push events",
            "sync",
            body=sync.PushBody,
            compressed=True,
            answers={200: sync.PushAnswer},
            problems=(409,),
        ),
        Route(
            "GET",
            "/api/sync/pull",
            partial(sync.pull, gate=blocking),
            Permission.SYNC_PULL,
            "Pull the next page",
            "sync",
            query=sync.SinceQuery,
            answers={200: sync.PullAnswer},
        ),
        Route(
            "POST",
            "/api/sync/push/audit-logs",
            sync.push_audit_logs,
            Permission.SYNC_PUSH,
            "Push a device's audit log",
            "sync",
            body=sync.AuditLogsBody,
            answers={200: sync.StatusAnswer},
            problems=(409,),
        ),
        Route(
            "GET",
            "/api/sync/pull/audit-logs",
            sync.pull_audit_logs,
            Permission.SYNC_PULL,
            "Pull the devices' audit logs",
            "sync",
            write=False,
            query=sync.SinceQuery,
            answers={200: list[sync.AuditLogEntry]},
        ),
        Route(
            "POST",
            "/api/sync/external",
            sync.start_external_sync,
            Permission.EXTERNAL_SYNC,
            "Exchange data with the outside system",
            "sync",
            write=False,
            body=sync.ExternalSyncBody,
            problems=(502,),
        ),
        Route(
            "GET",
            "/api/sync/quarantine",
            sync.list_quarantine,
            Permission.QUARANTINE_READ,
            "What was pushed and could not be taken as an event",
            "sync",
            write=False,
            query=sync.QuarantineQuery,
            answers={200: list[sync.QuarantinedEvent]},
        ),
        Route(
            "GET",
            "/api/sync/quarantine/{entry}",
            sync.show_quarantined,
            Permission.QUARANTINE_READ,
            "One entry of the quarantine, as a whole",
            "sync",
            write=False,
            answers={200: sync.QuarantinedEvent},
            problems=(404,),
        ),
    ]


def _sync_v2(parts: Parts, metrics: SyncMetrics) -> list[Route]:
    return [
        Route(
            "POST",
            "/api/v2/sync/push",
            partial(sync_v2.push, tolerance=parts.clock_tolerance, follow=note_conflicts, metrics=metrics),
            Permission.SYNC_PUSH,
            "Push events",
            "sync v2",
            query=sync_v2.EpochQuery,
            body=sync_v2.EventsBody,
            lines="events",
            compressed=True,
            answers={200: sync_v2.TakenAnswer},
            problems=(409, 410),
        ),
        Route(
            "GET",
            "/api/v2/sync/receipts/{seq}",
            sync_v2.show_receipt,
            Permission.SYNC_PULL,
            "What proves that an event was taken",
            "sync v2",
            write=False,
            answers={200: sync_v2.ReceiptAnswer},
            problems=(404,),
        ),
        Route(
            "GET",
            "/api/v2/sync/pull",
            sync_v2.pull,
            Permission.SYNC_PULL,
            "Pull the log from a cursor on, and the entities fed in it",
            "sync v2",
            scope="stream",
            write=False,
            query=PullQuery,
            answers={200: PulledPage, 304: None},
            streamed=True,
            problems=(410,),
        ),
        Route(
            "GET",
            "/api/v2/sync/snapshot",
            sync_v2.snapshot,
            Permission.SYNC_PULL,
            "Every live entity, to begin with",
            "sync v2",
            scope="stream",
            write=False,
            query=SnapshotQuery,
            answers={200: None},
            problems=(410,),
            media_type="application/x-ndjson",
        ),
        Route(
            "GET",
            "/api/v2/sync/live",
            partial(live.listen, hub=parts.live),
            Permission.SYNC_PULL,
            "Be told when there is more to pull, by server-sent events",
            "sync v2",
            scope="stream",
            write=False,
            query=live.LiveQuery,
            problems=(410, 429),
            media_type="text/event-stream",
        ),
    ]


def _entities() -> list[Route]:
    def line(path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route("GET", path, handler, Permission.ENTITIES_READ, summary, "entities", write=False, **more)

    return [
        line(
            entities.PATH,
            entities.list_entities,
            "List entities, the newest first",
            query=EntitiesQuery,
            answers={200: list[EntitySummary]},
        ),
        line(
            f"{entities.PATH}/count",
            entities.count_entities,
            "How many entities there are",
            answers={200: EntityCount},
        ),
        line(
            f"{entities.PATH}/count-by-form",
            entities.count_entities_by_form,
            "How many entities there are of each form",
            answers={200: dict[str, int]},
        ),
        line(
            f"{entities.PATH}/{{guid:text}}/events",
            entities.list_entity_events,
            "The events that speak of an entity, as they were pushed, the oldest first",
            query=EventsQuery,
            answers={200: list[EntityEvent]},
            problems=(404,),
        ),
        line(
            f"{entities.PATH}/{{guid:text}}",
            entities.get_entity,
            "One entity",
            query=EntityQuery,
            answers={200: EntityDetail},
            problems=(404,),
        ),
    ]


def _duplicates() -> list[Route]:
    return [
        Route(
            "GET",
            duplicates.PATH,
            duplicates.list_open_pairs,
            Permission.DUPLICATES_READ,
            "List pairs of entities that may be the same, the newest first",
            "duplicates",
            query=PairsQuery,
            answers={200: list[PotentialDuplicate]},
        ),
        Route(
            "POST",
            f"{duplicates.PATH}/resolve",
            duplicates.resolve_pair,
            Permission.DUPLICATES_SETTLE,
            "Settle a pair: keep both, or delete the newer one",
            "duplicates",
            body=Resolution,
            answers={200: Resolved},
            problems=(404, 409),
        ),
    ]


def _conflicts() -> list[Route]:
    return [
        Route(
            "GET",
            conflicts.PATH,
            conflicts.list_conflicts,
            Permission.CONFLICTS_READ,
            "List fields that devices changed without having seen each other's change, the newest first",
            "conflicts",
            write=False,
            query=ConflictsQuery,
            answers={200: list[Conflict]},
        ),
        Route(
            "POST",
            f"{conflicts.PATH}/{{conflict}}/choose",
            partial(conflicts.choose_value, follow=note_conflicts),
            Permission.CONFLICTS_SETTLE,
            "Settle a conflict: say which value is to stand",
            "conflicts",
            body=Choice,
            answers={200: Conflict},
            problems=(404, 409),
        ),
        Route(
            "GET",
            f"{entities.PATH}/{{guid:text}}/history",
            conflicts.show_history,
            Permission.ENTITIES_READ,
            "How an entity came to be what it is, field by field",
            "entities",
            write=False,
            query=HistoryQuery,
            answers={200: History},
            problems=(404,),
        ),
    ]


def _operating(parts: Parts, table: list[Route]) -> list[Route]:
    """Routes of whoever runs the server; `table` is the whole table, which they describe."""
    reference = Reference(table)

    def line(path: str, handler: Handler, summary: str, *, tag: str = "operating", **more: Any) -> Route:
        return Route(
            "GET", path, handler, Permission.PUBLIC, summary, tag, scope="none", tenant="none", write=False, **more
        )

    return [
        line("/health", health.live, "Whether the server lives", answers={200: Health}),
        line(
            "/ready",
            partial(health.ready, database=parts.database),
            "Whether the server can do its work",
            answers={200: Readiness},
        ),
        line(
            "/metrics",
            partial(metrics.read_metrics, exposition=parts.exposition, token=parts.metrics_token),
            "Metrics for Prometheus, for whoever shows METRICS_TOKEN as Bearer",
            problems=(401, 404),
            media_type=Exposition.media_type,
        ),
        line(
            "/openapi.json",
            partial(openapi.read_openapi, reference=reference),
            "This description",
            tag="reference",
            answers={200: dict[str, Any]},
        ),
        line("/api-docs", openapi.show_reference, "The interactive reference", tag="reference", media_type="text/html"),
        line(
            "/api-docs/{name}",
            partial(openapi.read_page_file, reference=reference),
            "What the interactive reference loads",
            tag="reference",
            media_type="*/*",
        ),
    ]
