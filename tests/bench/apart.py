"""Something that lives in a process of its own and does there what it is told."""

import asyncio
import gc
import multiprocessing
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import uvloop

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


class Apart(Generic[T]):
    """`Apart(Kind, a, b)` makes `Kind(a, b)` in a new process; `call(Kind.method, …)` awaits a method there.

    What is raised there is raised here. Leaving the block ends the process, whatever it does.
    """

    def __init__(self, kind: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> None:
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self._pipe = here
        self._process = context.Process(target=_live, args=(there, kind, arguments, named), daemon=True)
        self._process.start()
        self._is_busy = False
        there.close()

    def begin(self, method: Callable[Concatenate[T, P], Awaitable[R]], *arguments: P.args, **named: P.kwargs) -> None:
        """Starts a method; its result is to be taken by `result`."""
        self._is_busy = True
        self._pipe.send((method.__name__, arguments, named))

    def result(self) -> Any:
        """Waits for what was begun."""
        worked, result = self._pipe.recv()
        self._is_busy = False
        if not worked:
            raise result
        return result

    def call(self, method: Callable[Concatenate[T, P], Awaitable[R]], *arguments: P.args, **named: P.kwargs) -> R:
        """Runs a method to its end."""
        self.begin(method, *arguments, **named)
        result: R = self.result()
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_busy:
            self._process.terminate()
        self._pipe.close()
        self._process.join()


def _live(pipe: Connection, kind: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """The process: it has no garbage collected while a clock runs, only between two calls."""
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        it = kind(*arguments, **named)
        while True:
            try:
                method, given, named = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send((True, runner.run(getattr(it, method)(*given, **named))))
            except Exception as error:  # noqa: BLE001 - raised again by the one who called
                pipe.send((False, _sendable(error)))
            gc.collect()


def _sendable(error: Exception) -> Exception:
    """As text: not every exception survives being pickled."""
    return RuntimeError(f"{type(error).__name__}: {error}")
