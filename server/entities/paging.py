"""Pages of lists: by a cursor as deep as one likes, or by their numbers near the beginning."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from server.kit.call import Answer
from server.kit.problem import FieldError, Problem, ProblemKind

BAD_CURSOR = ProblemKind("paging.bad-cursor", 400, "`after` has to come from the Link header of the page before.")
TOO_DEEP = ProblemKind("paging.too-deep", 400, "Pages this far on have no number. Follow the Link header instead.")

MOST_ROWS: Final = 1000
MOST_COUNTED: Final = 10_000
_MOST_SKIPPED: Final = 100_000
_LARGEST: Final = 2**63

Text = Annotated[str, Field(max_length=256, pattern=r"^[^\x00]*$")]
"""Text that the database can be asked for."""

_Cursor = Annotated[str, Field(max_length=20_000)]
_OTHER_NAMES: Final = {"sortBy": "sort", "sortOrder": "order"}


def _at_least_one(number: int) -> int:
    return max(number, 1)


def _rows(number: int) -> int:
    return min(max(number, 1), MOST_ROWS)


class PageQuery(BaseModel):
    """Which page of a list. Numbers out of range are taken for the nearest in it.

    `pageSize` is `limit` by another name, and so are `sortBy` and `sortOrder` of the `sort` and `order` of a list that
    has them. `after` is the opaque cursor of the Link header and outweighs `page`.
    """

    model_config = ConfigDict(extra="ignore")

    configId: str | None = None
    limit: Annotated[int, AfterValidator(_rows)] | None = None
    pageSize: Annotated[int, AfterValidator(_rows)] | None = None
    page: Annotated[int, AfterValidator(_at_least_one)] = 1
    after: _Cursor | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_other_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: given[other] for other, name in _OTHER_NAMES.items() if other in given} | given

    def rows(self, default: int) -> int:
        """How many rows the page has at most."""
        return self.limit or self.pageSize or default

    def skipped(self, default: int) -> int:
        """How many rows stand on the pages before. Raises paging.too-deep."""
        skipped = 0 if self.after else (self.page - 1) * self.rows(default)
        if skipped > _MOST_SKIPPED:
            raise TOO_DEEP(errors=[FieldError("page", f"lies beyond row {_MOST_SKIPPED}")])
        return skipped


@dataclass(frozen=True, slots=True)
class Total:
    """How many rows the whole list has; counted only up to a bound where `is_exact` is false."""

    rows: int
    is_exact: bool = True


def total_of(counted: int) -> Total:
    """The total from a count that stopped after MOST_COUNTED + 1."""
    return Total(min(counted, MOST_COUNTED), counted <= MOST_COUNTED)


def cursor(*place: str | int) -> str:
    """The place of a row in its list, as callers get it."""
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def place_in(text: str | None, like: Sequence[type]) -> tuple[Any, ...] | None:
    """The place that a cursor holds, its parts of the given types. Raises paging.bad-cursor."""
    if text is None:
        return None
    try:
        place = orjson.loads(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if not isinstance(place, list) or [type(part) for part in place] != list(like) or not all(map(_is_sane, place)):
        raise bad_cursor()
    return tuple(place)


def bad_cursor() -> Problem:
    """The problem of a cursor that another list gave out, or none."""
    return BAD_CURSOR(errors=[FieldError("after", "is no cursor of this list")])


def page_answer(
    rows: list[dict[str, Any]], *, path: str, query: PageQuery, after: str | None, total: Total | None = None
) -> Answer:
    """The rows as a bare list; where it goes on (the cursor `after`) and how long it is stand in headers."""
    headers = {}
    if total is not None:
        headers["X-Total-Count"] = str(total.rows)
        headers["X-Total-Count-Relation"] = "eq" if total.is_exact else "gte"
    if after is not None:
        headers["Link"] = f'<{path}?{urlencode(_asked(query) | {"after": after})}>; rel="next"'
    return Answer(rows, headers=headers)


def _asked(query: PageQuery) -> dict[str, str]:
    asked = query.model_dump(mode="json", exclude_defaults=True, exclude={"page", "after"})
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in asked.items()}


def _is_sane(part: str | int) -> bool:
    return "\0" not in part if isinstance(part, str) else -_LARGEST <= part < _LARGEST
