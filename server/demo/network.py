"""The network between a phone and the server, which is not always there."""

import httpx


class Network(httpx.BaseTransport):
    """Carries requests to the server by `way` while `is_there`."""

    def __init__(self, way: httpx.BaseTransport) -> None:
        self.is_there = True
        self._way = way
        self._loses: str | None = None

    def lose_answer(self, path: str) -> None:
        """The next request to this path reaches the server, but its answer does not come back."""
        self._loses = path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.TransportError where the network fails."""
        if not self.is_there:
            raise httpx.ConnectError("there is no network", request=request)
        answer = self._way.handle_request(request)
        if request.url.path == self._loses:
            self._loses = None
            answer.close()
            raise httpx.ReadError("the network went away", request=request)
        return answer

    def close(self) -> None:
        self._way.close()
