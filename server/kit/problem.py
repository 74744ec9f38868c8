"""What went wrong, in the one form every caller gets: RFC 9457 problem details with a stable code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

MOST_TOLD = 100
"""How many bad places a problem names at most; of more, the first."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad place in what was sent. `path` reads like `entityForms[2].dependsOn`."""

    path: str
    message: str


class Problem(Exception):
    """Raised anywhere below a handler, answered as application/problem+json. Raising rolls the transaction back.

    `members` are further members of the document, such as the new epoch where the one that was named is over.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors[:MOST_TOLD])
        self.headers = dict(headers or {})
        self.members = dict(members or {})

    def document(self) -> dict[str, Any]:
        """The body of the answer. `message` repeats the detail because existing clients show `data.message`."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": self.code,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "message": self.detail,
        }
        body |= self.members
        if self.errors:
            body["errors"] = [{"path": error.path, "message": error.message} for error in self.errors]
        return body


class ProblemKind:
    """One entry of the catalogue of problems: a stable code, its status, and the words used when none fit better.

    A code is made once: a second kind with the same code is a programming error and raises ValueError.
    """

    catalogue: ClassVar[dict[str, "ProblemKind"]] = {}

    def __init__(self, code: str, status: int, detail: str) -> None:
        if code in self.catalogue:
            raise ValueError(f"the problem code {code} exists already")
        self.code = code
        self.status = status
        self.detail = detail
        self.catalogue[code] = self

    def __call__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        members: Mapping[str, str] | None = None,
    ) -> Problem:
        return Problem(self.status, self.code, detail or self.detail, errors=errors, headers=headers, members=members)
