"""What all that is issued to be shown later has in common: a name for its holder, and perhaps an end."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, AwareDatetime, Field
from pydantic_core import PydanticCustomError

from server.kit.problem import FieldError, ProblemKind

OVER_ALREADY = ProblemKind("auth.over-already", 422, "This would be over before it began.")

LARGEST_ID: Final = 2**53


def _checked_name(text: str) -> str:
    name = text.strip()
    if not name or not name.isprintable():
        raise PydanticCustomError("name", "A name has at least one character, and only such as can be printed.")
    return name


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_checked_name)]
"""What somebody calls a thing of his: up to 100 characters that can be printed, without the spaces around it."""

End = AwareDatetime | None
"""When it ends; None for never."""


def check_is_to_come(ends: datetime | None, at: datetime) -> None:
    """Raises `auth.over-already` for an `expiresAt` that has passed."""
    if ends is not None and ends <= at:
        raise OVER_ALREADY(errors=[FieldError("expiresAt", "This time has passed.")])
