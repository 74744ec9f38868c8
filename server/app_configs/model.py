"""An app config as the server reads it: the checked document and the parts that other rooms use."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from server.app_configs.form_secrets import form_secret_errors, public_text_errors
from server.app_configs.mistakes import summary_of
from server.app_configs.references import reference_errors
from server.app_configs.shape import number_to_text, shape_errors, size_errors
from server.kit.problem import MOST_TOLD, FieldError, ProblemKind

INVALID = ProblemKind("app-configs.invalid", 422, "The app config has mistakes.")

# Made by the server and answered with a config, so they come back in what an admin app uploads; never part of it.
_SERVER_MADE = frozenset({"artifactId", "syncServerUrl"})


_EVERYBODY = frozenset({"user", "*"})
"""What configs call the role that everybody has."""


@dataclass(frozen=True, slots=True)
class Form:
    """A kind of entity. `depends_on` is the name of the form whose entities hold these as members.

    `roles` are those whose members may submit and see such entities, besides administrators; empty for everybody.
    """

    name: str
    title: str
    depends_on: str | None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SeedRow:
    """One row of entityData. `fields` is the whole row; `id` and `parent_id` are None when absent or empty."""

    form: str
    id: str | None
    parent_id: str | None
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DuplicateRule:
    """Two entities of `form` that agree in all `fields` may be the same."""

    form: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Duplicates:
    """`rules` is None when the config names none (the default rules hold); an empty tuple asks for none."""

    rules: tuple[DuplicateRule, ...] | None
    block_sync: bool


@dataclass(frozen=True, slots=True)
class Retention:
    """After how many days without a change the persons of a form are erased, by the form's name, and after how many
    entries of the quarantine and of the devices' audit log are deleted. None, and a form that is absent: never.
    """

    forms: Mapping[str, int]
    quarantine_days: int | None
    device_audit_days: int | None

    def __bool__(self) -> bool:
        """Whether anything ever goes."""
        return bool(self.forms or self.quarantine_days or self.device_audit_days)


@dataclass(frozen=True, slots=True)
class AppConfig:
    """A valid app config.

    `document` is the whole of it as JSON, unknown keys and secrets included, in one normal form: version is a string,
    externalSync an object, entityForms, entityData and authConfigs are lists, each form has title and formio, and the
    ids of rows are strings.
    `description`, `version` and `url` are empty when the document has none.
    """

    id: str
    name: str
    description: str
    version: str
    url: str
    forms: tuple[Form, ...]
    seeds: tuple[SeedRow, ...]
    duplicates: Duplicates
    custom_event_types: tuple[str, ...]
    retention: Retention
    document: dict[str, Any]


def read_config(document: Any, *, known_rows: Container[str] = ()) -> AppConfig:
    """Reads parsed JSON. Raises the problem app-configs.invalid (422), which names mistakes by their paths.

    Of many mistakes the first are named and the others counted; a list that is too long hides all other mistakes.
    `known_rows` are ids of rows of earlier versions: rows may have them as parents though they are not in this one.
    """
    check_sizes(document)
    secrets = chain(form_secret_errors(document), public_text_errors(document))
    _refuse(chain(shape_errors(document), reference_errors(document, known_rows), secrets))
    return _config(_normal_form(document))


def check_sizes(document: Any) -> None:
    """Raises app-configs.invalid where a list in parsed JSON is too long. Takes little time, whatever the document."""
    _refuse(size_errors(document))


def read_stored(document: Any) -> AppConfig:
    """Reads the document of a config that was read before. Raises app-configs.invalid where its id is no good one."""
    _refuse(shape_errors(document))
    return _config(_normal_form(document))


def _refuse(found: Iterator[FieldError]) -> None:
    """Raises the problem if an error is found, with the first MOST_TOLD of them."""
    errors = list(islice(found, MOST_TOLD))
    if errors:
        more = sum(1 for _ in found)
        raise INVALID(summary_of(errors, more), errors=errors)


def _normal_form(document: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key not in _SERVER_MADE}
    if isinstance(kept.get("version"), int | float):
        kept["version"] = str(kept["version"])
    kept["entityForms"] = [_normal_form_of_form(form) for form in kept.get("entityForms") or []]
    kept["entityData"] = [_normal_form_of_section(section) for section in kept.get("entityData") or []]
    kept["externalSync"] = kept.get("externalSync") or {}
    kept["authConfigs"] = [{**auth, "fields": auth.get("fields") or {}} for auth in kept.get("authConfigs") or []]
    return kept


def _normal_form_of_form(form: dict[str, Any]) -> dict[str, Any]:
    return {**form, "title": form.get("title") or form["name"], "formio": form.get("formio") or {}}


def _normal_form_of_section(section: dict[str, Any]) -> dict[str, Any]:
    return {**section, "data": [_normal_form_of_row(row) for row in section.get("data") or []]}


def _normal_form_of_row(row: dict[str, Any]) -> dict[str, Any]:
    return {key: number_to_text(value) if key in ("id", "parentId") else value for key, value in row.items()}


def _config(document: dict[str, Any]) -> AppConfig:
    return AppConfig(
        id=document["id"],
        name=document["name"],
        description=document.get("description") or "",
        version=document.get("version") or "",
        url=document.get("url") or "",
        forms=tuple(_form(form) for form in document["entityForms"]),
        seeds=tuple(_seed_rows(document["entityData"])),
        duplicates=_duplicates(document.get("duplicates") or {}),
        custom_event_types=tuple(document.get("customEventTypes") or ()),
        retention=_retention(document.get("retention") or {}),
        document=document,
    )


def _form(form: dict[str, Any]) -> Form:
    roles = tuple(dict.fromkeys(form.get("roles") or ()))
    return Form(
        name=form["name"],
        title=form["title"],
        depends_on=form.get("dependsOn") or None,
        roles=() if _EVERYBODY.intersection(name.casefold() for name in roles) else roles,
    )


def _seed_rows(sections: list[dict[str, Any]]) -> Iterator[SeedRow]:
    for section in sections:
        for row in section["data"]:
            yield SeedRow(section["name"], row.get("id") or None, row.get("parentId") or None, row)


def _retention(retention: dict[str, Any]) -> Retention:
    forms = {name: form["days"] for name, form in (retention.get("forms") or {}).items()}
    return Retention(forms, retention.get("quarantineDays"), retention.get("deviceAuditDays"))


def _duplicates(duplicates: dict[str, Any]) -> Duplicates:
    rules = duplicates.get("rules")
    return Duplicates(
        rules=None if rules is None else tuple(DuplicateRule(rule["form"], tuple(rule["fields"])) for rule in rules),
        block_sync=bool(duplicates.get("blockSync")),
    )
