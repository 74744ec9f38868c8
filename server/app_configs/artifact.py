"""The public artifact of an app config: what a phone needs to begin, readable by anybody who has its address."""

from io import BytesIO
from typing import Any

import segno

from server.app_configs.model import AppConfig
from server.kit.secret_keys import is_secret_key, plain
from server.vault import key_id_of

_QR_PIXELS = 360
_QR_BORDER = 4  # modules; the quiet zone that the standard asks for

_SIGN_IN_FIELDS = frozenset(
    {
        "clientid",
        "domain",
        "issuer",
        "authority",
        "realm",
        "audience",
        "scope",
        "scopes",
        "organization",
        "responsetype",
        "responsemode",
        "enabled",
    }
)
_SIGN_IN_ENDINGS = ("url", "uri", "endpoint")


def public_artifact(config: AppConfig, *, artifact_id: str, sync_server_url: str) -> dict[str, Any]:
    """The config as phones read it, without any secret, sealed or not, and without seed data.

    Every key is always there, because apps store the artifact under a schema that demands them. Of externalSync only
    the type is told, of authConfigs what signing in needs; other parts of the config stay on the server. The forms
    are shared with the config's document.
    """
    return {
        "id": config.id,
        "artifactId": artifact_id,
        "name": config.name,
        "description": config.description,
        "version": config.version,
        "url": config.url,
        "entityForms": config.document["entityForms"],
        "entityData": [],
        "externalSync": _public_external_sync(config.document["externalSync"]),
        "authConfigs": [
            _public_auth_config(auth) for auth in config.document["authConfigs"] if not key_id_of(auth["type"])
        ],
        "syncServerUrl": sync_server_url,
    }


def qr_png(url: str) -> bytes:
    """A PNG of a QR code that holds `url`, about 300 to 400 pixels wide, quiet zone included.

    Raises segno.DataOverflowError when the URL is too long for any QR code (over 2,300 characters).
    """
    code = segno.make_qr(url, error="m")
    modules, _ = code.symbol_size(border=_QR_BORDER)
    png = BytesIO()
    code.save(png, kind="png", scale=max(1, round(_QR_PIXELS / modules)), border=_QR_BORDER)
    return png.getvalue()


def _public_external_sync(external_sync: dict[str, Any]) -> dict[str, Any]:
    kind = external_sync.get("type")
    return {"type": kind} if isinstance(kind, str) and not key_id_of(kind) else {}


def _public_auth_config(auth: dict[str, Any]) -> dict[str, Any]:
    fields = {key: value for key, value in auth["fields"].items() if _is_public(key, value)}
    return {"type": auth["type"], "fields": fields}


def _is_public(key: str, value: Any) -> bool:
    """A named list of fields, not all but the secret ones: what an unknown key holds cannot be told."""
    name = plain(key)
    if is_secret_key(key) or not (name in _SIGN_IN_FIELDS or name.endswith(_SIGN_IN_ENDINGS)):
        return False
    values = value if isinstance(value, list) else [value]
    return all(isinstance(each, str | int | float) and not key_id_of(str(each)) for each in values)
