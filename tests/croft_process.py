"""`croft` as a process of its own, as an operator runs it."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import server

ROOT = Path(server.__file__).parents[1]
SERVES = re.compile(r"Croft serves at (http://\S+)")
START_SECONDS = 60


def environment(**settings: str) -> dict[str, str]:
    """An environment with these settings and nothing of the shell's own."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PORT": "0", **settings}


def run_croft(*arguments: str, cwd: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Runs a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "server", *arguments],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
    )


@dataclass
class CroftProcess:
    """A server that runs. `out` and `err` hold what it wrote so far; they are whole once it has ended."""

    process: "subprocess.Popen[str]"
    out: list[str] = field(default_factory=list)
    err: list[str] = field(default_factory=list)
    url: str = ""
    _serves: threading.Event = field(default_factory=threading.Event)
    _readers: list[threading.Thread] = field(default_factory=list)

    def begin_reading(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err)),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: Iterator[str], lines: list[str]) -> None:
        for line in stream:
            lines.append(line)
            if found := SERVES.search(line):
                self.url = found[1]
                self._serves.set()
        self._serves.set()

    def wait_until_serving(self) -> None:
        """Returns once it serves; fails when it ends instead."""
        self._serves.wait(START_SECONDS)
        assert self.url, "".join(self.err)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> int:
        """Waits until it has ended; its exit code."""
        code = self.process.wait(START_SECONDS)
        for reader in self._readers:
            reader.join()
        return code


@contextmanager
def croft_process(
    *arguments: str, cwd: Path, program: Sequence[str] = (sys.executable, "-m", "server"), **settings: str
) -> Iterator[CroftProcess]:
    """A server on a free port; stopped at the end of the block if it still runs. `program` is how croft is called."""
    with subprocess.Popen(
        [*program, "serve", *arguments],
        cwd=cwd,
        env=environment(**settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        croft = CroftProcess(process)
        croft.begin_reading()
        try:
            croft.wait_until_serving()
            yield croft
        finally:
            if process.poll() is None:
                process.terminate()
            croft.end()


def settings_of(given: Mapping[str, str]) -> dict[str, str]:
    """The settings that a server on a configured database cannot do without, and those given."""
    return {
        "ADMIN_EMAIL": "admin@croft.test",
        "ADMIN_PASSWORD": "Correct-Horse-7",
        "JWT_SECRET": "a secret of the tests that is long enough",
        "ENCRYPTION_KEY": "an encryption key of the tests that is long enough",
        "BCRYPT_COST": "10",
        **given,
    }
