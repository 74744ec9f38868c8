"""The server as its clients reach it: over HTTP, with nothing but an address and a password."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from server.demo.expectation import Unexpected

_TIMEOUT_SECONDS = 60


class Remote:
    """A server at a base URL. Every method raises Unexpected when it answers otherwise than it should.

    `new_transport` makes a way to the server for one client: this one, or a phone.
    """

    def __init__(self, url: str, new_transport: Callable[[], httpx.BaseTransport] = httpx.HTTPTransport) -> None:
        self.url = url.rstrip("/")
        self.new_transport = new_transport
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_SECONDS, transport=new_transport())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def sign_in(self, email: str, password: str) -> "Session":
        """A session of an account."""
        answer = self.call("POST", "/api/users/login", json={"email": email, "password": password})
        return Session(self, token=answer["token"], user_id=str(answer["userId"]))

    def call(self, method: str, path: str, *, status: int = 200, **request: Any) -> Any:
        """Sends a request that has to be answered with `status`; gives the JSON of the answer."""
        answer = self.send(method, path, status=status, **request)
        try:
            return answer.json()
        except ValueError as error:
            raise Unexpected(f"{method} {path}", expected="JSON", found=answer.text[:200]) from error

    def send(self, method: str, path: str, *, status: int = 200, **request: Any) -> httpx.Response:
        """Sends a request that has to be answered with `status`."""
        with self._answered(method, path):
            answer = self._http.request(method, path, **request)
        if answer.status_code != status:
            raise Unexpected(f"{method} {path}", expected=f"status {status}", found=_told(answer))
        return answer

    def status_of(self, method: str, path: str, **request: Any) -> int:
        """The status that a request is answered with, whatever it is. The rest of the answer is not waited for."""
        with self._answered(method, path), self._http.stream(method, path, **request) as answer:
            return answer.status_code

    @contextmanager
    def _answered(self, method: str, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            found = str(error) or type(error).__name__
            raise Unexpected(f"{method} {self.url}{path}", expected="an answer", found=found) from error


class Session:
    """A signed-in account. `token` is what its requests carry, `user_id` how its phone signs what it records."""

    def __init__(self, remote: Remote, *, token: str, user_id: str) -> None:
        self.remote = remote
        self.token = token
        self.user_id = user_id
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str, *, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
        """The JSON of a 200."""
        return self.remote.call("GET", path, params=query or None, headers={**self._headers, **(headers or {})})

    def post(self, path: str, body: Mapping[str, Any], *, status: int = 200) -> Any:
        """The JSON of an answer with `status`."""
        return self.remote.call("POST", path, status=status, json=body, headers=self._headers)

    def upload(self, path: str, document: Mapping[str, Any]) -> Any:
        """Posts a document as the file `config` of a form, as the admin web app does."""
        file = ("config.json", json.dumps(document).encode(), "application/json")
        return self.remote.call("POST", path, files={"config": file}, headers=self._headers)

    def status_of(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **request: Any) -> int:
        """The status a request is answered with, whatever it is."""
        return self.remote.status_of(method, path, headers={**self._headers, **(headers or {})}, **request)


def _told(answer: httpx.Response) -> str:
    try:
        problem = answer.json()
    except ValueError:
        return f"status {answer.status_code}"
    message = problem.get("message") or problem.get("detail") if isinstance(problem, dict) else None
    return f"status {answer.status_code}: {message}" if message else f"status {answer.status_code}"
