"""Public artifacts: what a phone scans and loads before anybody has signed in on it."""

import re
from typing import Any

from server.app_configs.artifact import public_artifact, qr_png
from server.kit.call import Answer, Call
from server.tenants import queries
from server.tenants.model import Tenant
from server.tenants.problems import NO_PUBLIC_ADDRESS, UNKNOWN_ARTIFACT
from server.tenants.versioning import stored_document, under_id

_ARTIFACT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SHORT_LIVED = {"Cache-Control": "public, max-age=60"}


async def get_artifact(call: Call) -> Answer:
    """The config as phones read it, with the address they sync with."""
    origin = _origin(call)
    tenant = await _tenant(call)
    config = under_id(await stored_document(call.db, tenant), tenant.config_id)
    document: dict[str, Any] = public_artifact(config, artifact_id=tenant.artifact_id, sync_server_url=origin)
    disposition = f'attachment; filename="{tenant.config_id}.json"'
    return Answer(document, headers={"Content-Disposition": disposition, **_SHORT_LIVED})


async def get_artifact_code(call: Call) -> Answer:
    """A QR code of the address of the artifact. Admin apps of other origins show it."""
    origin = _origin(call)
    tenant = await _tenant(call)
    png = qr_png(f"{origin}/artifacts/{tenant.artifact_id}.json")
    return Answer(png, headers={"Cross-Origin-Resource-Policy": "cross-origin", **_SHORT_LIVED}, media_type="image/png")


async def _tenant(call: Call) -> Tenant:
    artifact_id = call.path["artifact"]
    tenant = await queries.find_artifact(call.db, artifact_id) if _ARTIFACT_ID.fullmatch(artifact_id) else None
    if tenant is None:
        raise UNKNOWN_ARTIFACT()
    return tenant


def _origin(call: Call) -> str:
    if not call.origin:
        raise NO_PUBLIC_ADDRESS()
    return call.origin
