"""The embedded PostgreSQL of a home, from its start to its stop."""

import logging
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

from server.db.embedded.errors import EmbeddedPostgresError, HomeInUse
from server.db.embedded.files import last_lines, rotate
from server.db.embedded.initialization import DATABASE, LOGIN, SUPERUSER, initialize
from server.db.embedded.locks import HomeLocks
from server.db.embedded.place import (
    DEFAULT_PORT,
    Place,
    data_directory_of,
    find_place,
    location_file,
    make_home,
    make_private_directory,
)
from server.db.embedded.postmaster import (
    FAST_SHUTDOWN,
    IMMEDIATE_SHUTDOWN,
    STOP_SECONDS,
    Postmaster,
    disown_locks,
    find_postmaster,
    read_postmaster,
    stop_postmaster,
)
from server.db.embedded.processes import run, start_server

log = logging.getLogger(__package__)

_IN_USE = "pre-existing shared memory block"
_START_SECONDS = 60.0  # crash recovery may have to replay


class EmbeddedPostgres:
    """The embedded PostgreSQL of one home directory. Calls block: use a thread inside an event loop.

    `with EmbeddedPostgres(home) as postgres: connect(postgres.dsn())` starts it and stops it.

    home     made with mode 0700 (0711 for root) when missing; holds `postgres/` and `postgres.log`.
    durable  False trades safety against a crash for speed; for tests.
    tcp      also listen on 127.0.0.1 and a free port, with a password; for a PgBouncer in tests.
    """

    def __init__(self, home: Path, *, durable: bool = True, tcp: bool = False) -> None:
        self.home = home.absolute()
        self._locks = HomeLocks(self.home)
        self._durable = durable
        self._tcp = tcp
        self._password = secrets.token_urlsafe(24) if tcp else None
        self._place: Place | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._running: Postmaster | None = None
        self._leaves_to_attached = False

    def start(self) -> None:
        """Start the server, making its data directory and the database `croft` at first.

        Raises HomeInUse when another croft process has it, EmbeddedPostgresError when it does not come up. A server
        that a killed croft left behind is stopped first.
        """
        self._prepare_to_start()
        self._leaves_to_attached = False
        if not self._locks.become_owner():
            raise HomeInUse(f"Another croft is using {self.home} ({self._locks.read_owner()}). Stop it first.")
        if self._is_shared():
            self._locks.release()
            raise HomeInUse(f"Another croft command is still using {self.home}. Try again when it is done.")
        self._start_as_owner()

    def attach_or_start(self) -> None:
        """Use the server another croft process runs in this home, or start one when there is none.

        `stop` then leaves another process's server alone; one started here runs until the last who attached is done.
        """
        self._prepare_to_start()
        self._leaves_to_attached = True
        deadline = time.monotonic() + _START_SECONDS
        while not self._attach():
            if self._locks.become_owner():
                self._start_as_owner()
                return
            if time.monotonic() > deadline:
                raise HomeInUse(f"Another croft is using {self.home}, and its PostgreSQL does not become ready.")
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server in order and wait for it: open transactions are rolled back, connections closed.

        Without effect when not started.
        """
        try:
            if self._locks.is_owner:
                self._stop_as_owner()
            elif self._locks.is_user:
                self._detach()
        finally:
            self._running = None
            self._process = None
            self._locks.release()

    def destroy(self) -> None:
        """Stop the server and delete all of its data. For tests."""
        self.stop()
        directory = data_directory_of(self.home).parent
        wanted = [directory / name for name in ("postgres", "postgres.new", "socket")]
        if directory != self.home:
            wanted.append(directory)
        if self._place is not None:
            wanted.append(self._place.sockets)
        for path in wanted:
            shutil.rmtree(path, ignore_errors=True)
        location_file(self.home).unlink(missing_ok=True)

    def dsn(self, database: str = DATABASE, user: str = LOGIN) -> str:
        """The address through the Unix socket, e.g. `postgresql://croft@/croft?host=/…/socket&port=5432`."""
        running = self._expect_running()
        query = urlencode({"host": running.sockets, "port": running.port}, quote_via=quote)
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{query}"

    def superuser_dsn(self, database: str = "postgres") -> str:
        """As `dsn`, for PostgreSQL's superuser. For tests and an operator's rescue."""
        return self.dsn(database, SUPERUSER)

    def tcp_dsn(self, database: str = DATABASE) -> str:
        """The address of the login `croft` over TCP, with its password; only with `tcp=True`."""
        return f"postgresql://{LOGIN}:{self.password}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    @property
    def port(self) -> int:
        """The port: of TCP with `tcp=True`, else only the number in the socket's name."""
        return self._expect_running().port

    @property
    def password(self) -> str:
        """The password of the login `croft` over TCP; made anew at every start. Only with `tcp=True`."""
        if self._password is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL was not asked to listen on TCP.")
        return self._password

    @property
    def data_directory(self) -> Path:
        """Where PostgreSQL keeps its data; `home/postgres` unless its system user cannot reach that."""
        self._expect_running()
        return data_directory_of(self.home)

    @property
    def log_file(self) -> Path:
        """PostgreSQL's own log."""
        return self.home / "postgres.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _prepare_to_start(self) -> None:
        if self._running is not None:
            raise EmbeddedPostgresError("The embedded PostgreSQL was started already.")
        try:
            make_home(self.home)
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot make {self.home}: {error.strerror}.") from error

    def _is_shared(self) -> bool:
        """Whether the server runs on for commands that attached to it, without the one that started it."""
        if find_postmaster(data_directory_of(self.home)) is None:
            return False
        alone = self._locks.shut_out_others()
        self._locks.leave_users()
        return not alone

    def _attach(self) -> bool:
        # The share comes before the look: whoever wants to stop the server sees it, or has stopped it by now.
        self._locks.join_users()
        self._running = find_postmaster(data_directory_of(self.home))
        if self._running is None or not self._running.is_ready:
            self._running = None
            self._locks.leave_users()
        return self._running is not None

    def _detach(self) -> None:
        """Let go; stop the server when its owner left it to us, or was killed, and nobody else is attached."""
        self._locks.leave_users()
        if self._locks.become_owner() and self._locks.shut_out_others():
            data = data_directory_of(self.home)
            postmaster = find_postmaster(data)
            if postmaster is not None:
                stop_postmaster(data, postmaster)

    def _start_as_owner(self) -> None:
        try:
            self._place = place = find_place(self.home, self._durable)
            self._stop_what_was_left_behind(place.data)
            if not place.data.exists():
                initialize(place, self._durable)
            self._launch(place)
        except BaseException:
            self.stop()
            raise

    def _stop_what_was_left_behind(self, data: Path) -> None:
        postmaster = find_postmaster(data)
        if postmaster is not None:
            # Restarted rather than adopted: it may hold locks and half a transaction of the process that was killed.
            log.warning("Stopping the PostgreSQL that an earlier croft left running in %s.", data)
            stop_postmaster(data, postmaster)

    def _launch(self, place: Place) -> None:
        port = _free_port() if self._tcp else DEFAULT_PORT
        make_private_directory(place.sockets, place.account)
        disown_locks(place.data, place.sockets, port)
        rotate(self.log_file)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            self._process = start_server(place, port, self.log_file, durable=self._durable, tcp=self._tcp)
            try:
                self._running = self._wait_until_ready(place.data, self._process)
                break
            except EmbeddedPostgresError:
                if not self._waits_for_others() or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if self._password is not None:
            statement = f"ALTER ROLE {LOGIN} PASSWORD '{self._password}'"
            run(place, "psql", "-XqAt", "-d", self.superuser_dsn(), "-f", "-", standard_input=statement)

    def _waits_for_others(self) -> bool:
        """Whether it ended because processes of one whose main process was killed are still there: they end soon."""
        return self._process is not None and self._process.poll() == 1 and _IN_USE in last_lines(self.log_file)

    def _wait_until_ready(self, data: Path, process: "subprocess.Popen[bytes]") -> Postmaster:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL ended with code {process.returncode}. {self.log_file} says:\n"
                    + last_lines(self.log_file)
                )
            postmaster = read_postmaster(data)
            if postmaster is not None and postmaster.process_id == process.pid and postmaster.is_ready:
                return postmaster
            time.sleep(0.01)
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL was not ready after {_START_SECONDS:.0f} s; see {self.log_file}."
        )

    def _stop_as_owner(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        if self._leaves_to_attached and self._running is not None and not self._locks.shut_out_others():
            process.returncode = 0  # else Popen warns about a child that is meant to outlive it
            return
        process.send_signal(FAST_SHUTDOWN)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("The embedded PostgreSQL did not stop in %.0f s; it will recover when started.", STOP_SECONDS)
            process.send_signal(IMMEDIATE_SHUTDOWN)
            process.wait()

    def _expect_running(self) -> Postmaster:
        if self._running is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not running.")
        return self._running


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
