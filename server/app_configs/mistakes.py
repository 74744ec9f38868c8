"""What is wrong with a config, in one line for whoever is shown no more than that."""

from collections.abc import Sequence

from server.kit.problem import FieldError

_LONGEST = 300


def summary_of(errors: Sequence[FieldError], more: int = 0) -> str:
    """The first mistake with its path, and how many others there are: `name: is missing (and 3 more)`.

    `more` mistakes are none of `errors`.
    """
    first = errors[0]
    told = f"{first.path}: {first.message}" if first.path else f"The config {first.message}"
    if len(told) > _LONGEST:
        told = f"{told[:_LONGEST]}…"
    others = len(errors) - 1 + more
    return f"{told} (and {others} more)" if others else told
