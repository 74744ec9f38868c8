"""What of an app config decides who may enter and see what: to change it asks for more than to change the rest."""

from collections.abc import Mapping
from typing import Any

from server.kit.problem import FieldError, ProblemKind

RULES_OF_ACCESS = ProblemKind(
    "app-configs.rules-of-access",
    403,
    "Identity providers and the roles of forms decide who may see what: to change them, you need the right "
    "security.manage.",
)


def check_rules_of_access(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Raises app-configs.rules-of-access where providers or roles of forms differ between two whole documents."""
    errors = [FieldError(name, "has changed") for name, of in _RULES.items() if of(before) != of(after)]
    if errors:
        raise RULES_OF_ACCESS(errors=errors)


def _providers(document: Mapping[str, Any]) -> Any:
    return document.get("authConfigs") or []


def _roles(document: Mapping[str, Any]) -> dict[str, list[str]]:
    forms = document.get("entityForms") or []
    return {form["name"]: sorted(form["roles"]) for form in forms if form.get("roles")}


_RULES = {"authConfigs": _providers, "entityForms.roles": _roles}
