"""A tenant as the shared schema knows it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import orjson

from server.db.connection import Row
from server.db.scope import Scope

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
DELETED: Final = "deleted"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization. `state` is 'active', 'suspended' or 'deleted'; `schema_version` the last migration it has.

    offline_days: how long its phones may be away before a login is asked for; None is what the installation says.
    second_factor: whoever works in it has to have shown one. is_guarded: operators need a grant to see its data.
    form_roles: by form the roles that may submit and see its records; a form that is absent is everybody's.
    """

    id: int
    config_id: str
    artifact_id: str
    name: str
    description: str
    version: str
    state: str
    schema: str
    role: str
    schema_version: str
    config_number: int
    entities_count: int
    created_at: datetime
    deleted_at: datetime | None
    offline_days: int | None = None
    second_factor: bool = False
    is_guarded: bool = False
    form_roles: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        """How the record of acts names it, as what something was done to: by its number, which outlives its id."""
        return f"tenant:{self.id}"

    @property
    def scope(self) -> Scope:
        """Where its data is and as whom it is worked on."""
        return Scope(self.schema, self.role)


TENANT_COLUMNS: Final = (
    "t.id, t.config_id, t.artifact_id, t.name, t.description, t.version, t.state, t.schema_name, t.role_name, "
    "t.schema_version, t.config_number, t.entities_count, t.created_at, t.deleted_at, "
    "t.offline_days, t.second_factor, t.guarded, t.form_roles"
)
"""What `tenant_from` reads, of a table known as t."""


def tenant_from(row: Row) -> Tenant:
    """A tenant from a row that holds TENANT_COLUMNS."""
    return Tenant(
        id=row["id"],
        config_id=row["config_id"],
        artifact_id=row["artifact_id"],
        name=row["name"],
        description=row["description"],
        version=row["version"],
        state=row["state"],
        schema=row["schema_name"],
        role=row["role_name"],
        schema_version=row["schema_version"],
        config_number=row["config_number"],
        entities_count=row["entities_count"],
        created_at=row["created_at"],
        deleted_at=row["deleted_at"],
        offline_days=row["offline_days"],
        second_factor=row["second_factor"],
        is_guarded=row["guarded"],
        form_roles=orjson.loads(row["form_roles"]),
    )
