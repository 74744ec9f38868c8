"""What a row of the other server is here: a config, an event, an entry of the audit log, an account."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID, uuid5

import orjson

from server.app_configs.references import BUILT_IN_EVENT_TYPES
from server.db.connection import Row
from server.moving_in.datacollect.reading import read_value
from server.sync.audit_log import read_entry
from server.sync.event import Event
from server.sync.intake import Refusal, read_event
from server.sync.old_clients.marks import CARRIERS

_NAMESPACE: Final = UUID("a6a5dd2c-55b5-5a29-8f0e-3f9c31b1a1d4")

_CONFIG_KEYS: Final = {
    "id": "id",
    "name": "name",
    "description": "description",
    "version": "version",
    "url": "url",
    "entity_forms": "entityForms",
    "entity_data": "entityData",
    "external_sync": "externalSync",
    "auth_configs": "authConfigs",
    "self_service": "selfService",
    "sync_scope": "syncScope",
    "programs": "programs",
}

_ARTIFACT_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_HASH = re.compile(r"\$2[abxy]\$(\d\d)\$[./A-Za-z0-9]{53}")
_COSTS = range(4, 17)

_ROLES: Final = {
    "system-admin": "admin",
    "program-admin": "admin",
    "supervisor": "collector",
    "enumerator": "collector",
    "viewer": "viewer",
}
_RANK: Final = ("viewer", "collector", "admin")


def derived(*parts: str) -> str:
    """A guid that is the same in every run, for something that has none there."""
    return str(uuid5(_NAMESPACE, orjson.dumps(parts).decode()))


# Configs


@dataclass(frozen=True, slots=True)
class ConfigRow:
    """A row of app_configs. `document` has the form of an uploaded config; keys that say nothing are left out."""

    id: str
    artifact_id: str
    is_archived: bool
    document: dict[str, Any]

    @property
    def has_usable_artifact(self) -> bool:
        """Whether this server can answer under the artifact id."""
        return _ARTIFACT_ID.fullmatch(self.artifact_id) is not None


def config_from(row: Mapping[str, Any]) -> ConfigRow:
    """A row of app_configs, read from JSON. Columns that are not known here are no part of the config."""
    document = {key: row[column] for column, key in _CONFIG_KEYS.items() if row.get(column) is not None}
    return ConfigRow(
        id=str(row.get("id") or ""),
        artifact_id=str(row.get("artifact_id") or "").strip(),
        is_archived=row.get("archived_at") is not None,
        document=document,
    )


def with_custom_types(document: dict[str, Any], types: Sequence[str]) -> dict[str, Any]:
    """The config with the event types of its app named: phones of the other server get all events, whatever type."""
    named = document.get("customEventTypes") or []
    more = [each for each in types if each not in BUILT_IN_EVENT_TYPES and each not in named and _can_be_type(each)]
    return {**document, "customEventTypes": [*named, *more]} if more else document


def _can_be_type(name: str) -> bool:
    return bool(name.strip()) and len(name) <= 64


# Events and the audit log


@dataclass(frozen=True, slots=True)
class Read:
    """A row in the form of the wire, and what it is here: None, or an Event, or what is wrong with it."""

    raw: dict[str, Any]
    result: Event | Refusal | None


def event_from_row(row: Row, tolerance: timedelta) -> Read:
    """An event; one that cannot be read keeps its own words in `raw`."""
    raw = {
        "guid": row["guid"],
        "entityGuid": row["entity_guid"],
        "type": row["type"],
        "data": None,
        "timestamp": row["timestamp"],
        "userId": row["user_id"],
    }
    try:
        raw["data"] = None if row["data"] is None else read_value(row["data"])
    except ValueError as fault:
        raw["data"] = orjson.Fragment(row["data"])
        return Read(raw, Refusal(row["guid"], "event.invalid", "data", str(fault)))
    event = read_event(raw, arrival_ms=row["arrived_ms"], tolerance=tolerance)
    if isinstance(event, Event) and not CARRIERS.isdisjoint(event.mentions):
        return Read(raw, Refusal(event.guid, "event.reserved-guid", "data", "speaks of a guid that is reserved here"))
    return Read(raw, event)


def entry_from_row(row: Row, tenant: str) -> Read:
    """An entry of the audit log. One without a guid is given one; what else is missing is empty."""
    guid: str = row["guid"] or derived("audit-log", tenant, str(row["id"]))
    raw = {
        "guid": guid,
        "timestamp": row["timestamp"] or "",
        "userId": row["user_id"] or "",
        "action": row["action"] or "",
        "eventGuid": row["event_guid"] or "",
        "entityGuid": row["entity_guid"] or "",
        "changes": orjson.Fragment(row["changes"] or "{}"),
        "signature": row["signature"] or "",
    }
    refusal = read_entry(raw)
    if refusal is None:
        try:
            orjson.loads(row["changes"] or "{}")
        except orjson.JSONDecodeError:
            refusal = Refusal(guid, "audit-log.invalid", "changes", "holds a number that is too large")
    return Read(raw, refusal)


# Accounts


@dataclass(frozen=True, slots=True)
class UserRow:
    """A row of users. `tenants` is None where that server has no such column: everybody may enter every tenant."""

    id: int
    email: str
    password_hash: str
    role: str
    tenants: frozenset[str] | None
    assignments: Mapping[str, frozenset[str]]

    @property
    def is_admin(self) -> bool:
        """Whether he may do everything there."""
        return self.role == "ADMIN"

    @property
    def has_usable_hash(self) -> bool:
        """Whether his password can be checked here, in a time that others can wait for."""
        found = _HASH.fullmatch(self.password_hash)
        return found is not None and int(found[1]) in _COSTS


def user_from(row: Mapping[str, Any]) -> UserRow:
    """A row of users, read from JSON."""
    tenants = row.get("tenant_ids")
    assignments: dict[str, frozenset[str]] = {}
    for each in _objects(row.get("role_assignments")):
        tenant = str(each.get("tenantId") or "")
        assignments[tenant] = assignments.get(tenant, frozenset()) | {str(each.get("role") or "")}
    return UserRow(
        id=int(row["id"]),
        email=str(row.get("email") or "").strip(),
        password_hash=str(row.get("password_hash") or ""),
        role=str(row.get("role") or ""),
        tenants=frozenset(str(each) for each in tenants) if isinstance(tenants, list) else None,
        assignments=assignments,
    )


def _objects(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def role_in(user: UserRow, tenant: str) -> str | None:
    """The role that he has here in the tenant, None for none, as his own server limits him.

    Nobody becomes an operator of this installation by it. A role that is not known gives nothing.
    """
    if user.is_admin:
        return "admin"
    if user.role != "USER" or (user.tenants is not None and tenant not in user.tenants):
        return None
    held = {_ROLES.get(each.lower().replace("_", "-"), "collector") for each in user.assignments.get(tenant, ())}
    return max(held, key=_RANK.index) if held else "collector"
