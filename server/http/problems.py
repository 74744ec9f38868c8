"""Whatever goes wrong below becomes one form of answer, and nothing of a failure's inside leaves the server."""

import logging
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.db.errors import problem_of
from server.db.pool import NoConnectionFree
from server.db.shares import NoShareFree
from server.http.load import OVERLOADED, SOON, TENANT_BUSY
from server.kit.problem import Problem, ProblemKind
from server.kit.strict_json import dump_json

log = logging.getLogger("croft.problems")

INTERNAL = ProblemKind("server.failed", 500, "Something failed on the server. The request id helps to find out what.")
NOT_FOUND = ProblemKind("route.unknown", 404, "There is nothing at this address.")
NOT_ALLOWED = ProblemKind("route.method-not-allowed", 405, "This address does not answer that method.")
BAD_REQUEST = ProblemKind("request.invalid", 400, "The request cannot be read.")


class Problems:
    """Middleware: answers an exception that nothing below answered."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watching_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watching_send)
        except Exception as error:
            problem = log_failure(error, scope)
            if started:
                raise
            await problem_response(problem)(scope, receive, send)


def log_failure(error: Exception, scope: Scope) -> Problem:
    """The problem that the error is to the caller of the request.

    A failure of ours is logged with its traceback; what is beyond us, such as a database that is away, as one line.
    """
    problem = problem_from(error)
    extra = {"request_id": scope.get("request_id")}
    if problem.code == INTERNAL.code:
        log.error("%s", problem.code, extra=extra, exc_info=error)
    elif problem.status >= 500:
        log.warning("%s", problem.code, extra={**extra, "cause": type(error).__name__})
    return problem


def problem_from(error: Exception) -> Problem:
    """The problem a caller is told of: the error itself where it is one, else what it means to him."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _from_http(error)
    if isinstance(error, NoConnectionFree):
        return OVERLOADED(headers=SOON)
    if isinstance(error, NoShareFree):
        return TENANT_BUSY(headers=SOON)
    return problem_of(error) or INTERNAL()


def _from_http(error: HTTPException) -> Problem:
    headers: Mapping[str, str] = error.headers or {}
    if error.status_code == 404:
        return NOT_FOUND()
    if error.status_code == 405:
        return NOT_ALLOWED(headers=headers)
    return BAD_REQUEST()


def problem_response(problem: Problem) -> Response:
    """The answer as RFC 9457 has it."""
    headers = dict(problem.headers)
    if problem.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return Response(
        dump_json(problem.document()), problem.status, headers=headers, media_type="application/problem+json"
    )


async def answer_http_exception(_: Request, error: Exception) -> Response:
    """Starlette's own refusals (no such route, wrong method) in our form."""
    return problem_response(problem_from(error))
