"""Public artifacts: what a phone scans and loads before anybody has signed in on it."""

import re
from asyncio import to_thread
from collections import OrderedDict
from typing import Any

from server.app_configs.artifact import public_artifact, qr_png
from server.kit.call import Answer, Call
from server.kit.strict_json import dump_json
from server.tenants import queries
from server.tenants.model import Tenant
from server.tenants.problems import NO_PUBLIC_ADDRESS, UNKNOWN_ARTIFACT
from server.tenants.versioning import stored_document, under_id

MOST_KEPT_BYTES = 64 * 1024 * 1024
"""How much room kept artifacts take in one process."""

_ARTIFACT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_SHORT_LIVED = {"Cache-Control": "public, max-age=60"}
_ADDRESS = "syncServerUrl"


class KeptArtifacts:
    """The artifacts that were asked for last, as JSON without the address to sync with.

    What a config's number stands for never changes, so nothing kept is ever out of date.
    """

    def __init__(self, most_bytes: int = MOST_KEPT_BYTES) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: OrderedDict[tuple[int, int], bytes] = OrderedDict()

    def get(self, tenant: Tenant) -> bytes | None:
        """The artifact of the tenant's present config, if it is kept."""
        key = (tenant.id, tenant.config_number)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def keep(self, tenant: Tenant, content: bytes) -> None:
        """Keeps the artifact of the tenant's present config; what was not asked for the longest makes room."""
        key = (tenant.id, tenant.config_number)
        self._size += len(content) - len(self._kept.pop(key, b""))
        self._kept[key] = content
        while self._size > self._most:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped)


async def get_artifact(call: Call, *, kept: KeptArtifacts) -> Answer:
    """The config as phones read it, with the address they sync with."""
    origin = _origin(call)
    tenant = await _tenant(call)
    content = kept.get(tenant)
    if content is None:
        document = await stored_document(call.db, tenant)
        content = await to_thread(_without_address, document, tenant)
        kept.keep(tenant, content)
    disposition = f'attachment; filename="{tenant.config_id}.json"'
    return Answer(_addressed(content, origin), headers={"Content-Disposition": disposition, **_SHORT_LIVED})


async def get_artifact_code(call: Call) -> Answer:
    """A QR code of the address of the artifact. Admin apps of other origins show it."""
    origin = _origin(call)
    tenant = await _tenant(call)
    png = qr_png(f"{origin}/artifacts/{tenant.artifact_id}.json")
    return Answer(png, headers={"Cross-Origin-Resource-Policy": "cross-origin", **_SHORT_LIVED}, media_type="image/png")


def _without_address(document: dict[str, Any], tenant: Tenant) -> bytes:
    config = under_id(document, tenant.config_id)
    artifact = public_artifact(config, artifact_id=tenant.artifact_id, sync_server_url="")
    del artifact[_ADDRESS]
    return dump_json(artifact)


def _addressed(content: bytes, origin: str) -> bytes:
    """The address comes last, in the place of the closing brace: one server can have several."""
    return b'%b,"%b":%b}' % (content[:-1], _ADDRESS.encode(), dump_json(origin))


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
