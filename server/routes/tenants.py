"""Organizations: their app configs, artifacts and record of acts."""

from functools import partial
from typing import Any

from server.audit import api as audit
from server.audit.model import Act, ActsPage, ActsQuery, OperatorsQuery, Verified, VerifyQuery
from server.duplicates.finding import load_and_find_pairs
from server.http.route import Handler, Route
from server.roles.permissions import Permission
from server.routes.parts import Parts
from server.tenants import api as apps
from server.tenants import artifacts
from server.tenants import operating as tenants
from server.tenants.artifacts import KeptArtifacts
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


def tenant_routes(parts: Parts) -> list[Route]:
    """Every route of organizations."""
    return [*_tenants(parts), *_audit(parts)]


def _tenants(parts: Parts) -> list[Route]:
    return [*_apps(parts), *_tenants_of_operators(parts), *_artifacts()]


def _apps(parts: Parts) -> list[Route]:
    return [
        Route(
            "POST",
            "/api/apps",
            partial(apps.upload_app, load=load_and_find_pairs, keyring=parts.keyring),
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
            partial(apps.patch_app, load=load_and_find_pairs, keyring=parts.keyring),
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
            partial(apps.roll_back_app, load=load_and_find_pairs, keyring=parts.keyring),
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
            partial(tenants.create_tenant, load=load_and_find_pairs, keyring=parts.keyring),
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
            partial(tenants.restore_tenant, load=load_and_find_pairs, keyring=parts.keyring),
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


def _audit(parts: Parts) -> list[Route]:
    def line(path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route("GET", path, handler, Permission.AUDIT_READ, summary, "audit", write=False, **more)

    def operators(path: str, handler: Handler, summary: str, **more: Any) -> Route:
        return Route(
            "GET", path, handler, Permission.INSTALLATION_AUDIT, summary, "audit", tenant="none", write=False, **more
        )

    database = parts.database
    exports: dict[str, Any] = {"streamed": True, "answers": {200: Act}, "media_type": "application/x-ndjson"}
    return [
        line("/api/audit", audit.list_acts, "What was done in a tenant", query=ActsQuery, answers={200: ActsPage}),
        line(
            "/api/audit/verify",
            audit.verify_acts,
            "Whether a tenant's log of acts is what was recorded",
            scope="stream",
            query=VerifyQuery,
            answers={200: Verified},
        ),
        line("/api/audit/export", audit.export_acts, "A tenant's whole log of acts", scope="stream", **exports),
        operators(
            "/api/installation/audit",
            audit.list_all_acts,
            "What was done on the installation",
            scope="shared",
            query=OperatorsQuery,
            answers={200: ActsPage},
        ),
        operators(
            "/api/installation/audit/verify",
            partial(audit.verify_all_acts, database=database),
            "Whether the operators' log of acts is what was recorded",
            scope="none",
            query=VerifyQuery,
            answers={200: Verified},
        ),
        operators(
            "/api/installation/audit/export",
            partial(audit.export_all_acts, database=database),
            "The operators' whole log of acts",
            scope="none",
            **exports,
        ),
    ]
