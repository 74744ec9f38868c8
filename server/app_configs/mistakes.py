"""What is wrong with a config, in one line for whoever is shown no more than that."""

from collections.abc import Sequence

from server.kit.problem import FieldError

_LONGEST = 300


def summary_of(errors: Sequence[FieldError]) -> str:
    """The first mistake with its path, and how many more there are: `name: is missing (and 3 more)`."""
    first = errors[0]
    told = f"{first.path}: {first.message}" if first.path else f"The config {first.message}"
    if len(told) > _LONGEST:
        told = f"{told[:_LONGEST]}…"
    return f"{told} (and {len(errors) - 1} more)" if len(errors) > 1 else told
