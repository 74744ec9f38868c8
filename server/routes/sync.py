"""Push and pull, for installed phones and for new clients."""

from functools import partial

from server.conflicts.finding import note_conflicts
from server.duplicates.gate import blocking
from server.http.route import Route
from server.live import api as live
from server.metrics.sync import SyncMetrics
from server.roles.permissions import Permission
from server.routes.parts import Parts
from server.sync import api as sync
from server.sync.v2 import api as sync_v2
from server.sync.v2.model import PulledPage, PullQuery, SnapshotQuery


def sync_routes(parts: Parts) -> list[Route]:
    """Every route of sync."""
    metrics = SyncMetrics(parts.registry)
    return [*_sync(parts, metrics), *_sync_v2(parts, metrics)]


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
            sees_everything=True,
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
            sees_everything=True,
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
            sees_everything=True,
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
