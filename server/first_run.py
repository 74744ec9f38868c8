"""What the first start without a configured database makes: the home directory and the secrets kept in it."""

import fcntl
import logging
import os
import secrets
import stat
import string
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dotenv import dotenv_values
from pydantic import SecretStr

from server.db.embedded import make_home
from server.kit.passwords import password_problems
from server.settings import ENCRYPTION_KEY_CHARACTERS, JWT_SECRET_CHARACTERS, Settings, SettingsError

log = logging.getLogger(__name__)

SECRETS_FILE = "secrets.env"
_PASSWORD_CHARACTERS = 20
_LEAST_CHARACTERS = {"JWT_SECRET": JWT_SECRET_CHARACTERS, "ENCRYPTION_KEY": ENCRYPTION_KEY_CHARACTERS}


@dataclass(frozen=True, slots=True)
class FirstRun:
    """What to start with.

    settings         with `admin_password`, `jwt_secret` and `encryption_key` filled in
    password_is_new  the password was made just now: show it, once
    secrets_file     where what was made is kept; None when the database is not the embedded one
    """

    settings: Settings
    password_is_new: bool
    secrets_file: Path | None

    @property
    def admin_password(self) -> SecretStr:
        assert self.settings.admin_password is not None
        return self.settings.admin_password

    @property
    def jwt_secret(self) -> SecretStr:
        assert self.settings.jwt_secret is not None
        return self.settings.jwt_secret

    @property
    def encryption_key(self) -> SecretStr:
        assert self.settings.encryption_key is not None
        return self.settings.encryption_key


def prepare_home(settings: Settings) -> FirstRun:
    """Make the home directory and the secrets that are missing; what is set in `settings` wins over what is kept.

    With POSTGRES set nothing is made: all of them must be set then, which `load_settings` sees to. Raises
    SettingsError when the home cannot be used.
    """
    if not settings.uses_embedded_postgres:
        if None in (settings.admin_password, settings.jwt_secret, settings.encryption_key):
            raise SettingsError(["ADMIN_PASSWORD, JWT_SECRET, ENCRYPTION_KEY: are required when POSTGRES is set"])
        return FirstRun(settings, password_is_new=False, secrets_file=None)
    home = settings.croft_home.absolute()
    try:
        make_home(home)
        _check_home(home)
        with _alone_in(home):
            return _fill_in_secrets(settings, home / SECRETS_FILE)
    except OSError as error:
        raise SettingsError([f"CROFT_HOME: {error.filename or home} cannot be used ({error.strerror})"]) from error


def _fill_in_secrets(settings: Settings, path: Path) -> FirstRun:
    kept = _read_secrets(path)
    made: dict[str, str] = {}
    if settings.admin_password is None and "ADMIN_PASSWORD" not in kept:
        made["ADMIN_PASSWORD"] = _make_password()
    for name in _LEAST_CHARACTERS:
        if getattr(settings, name.lower()) is None and name not in kept:
            made[name] = secrets.token_urlsafe(48)
    if made:
        _write_secrets(path, kept | made)
    known = kept | made
    filled = settings.model_copy(
        update={
            "admin_password": settings.admin_password or SecretStr(known["ADMIN_PASSWORD"]),
            "jwt_secret": settings.jwt_secret or SecretStr(known["JWT_SECRET"]),
            "encryption_key": settings.encryption_key or SecretStr(known["ENCRYPTION_KEY"]),
        }
    )
    return FirstRun(filled, password_is_new="ADMIN_PASSWORD" in made, secrets_file=path)


def _check_home(home: Path) -> None:
    # Whoever may write into the directory could put secrets of his own there.
    if home.stat().st_mode & stat.S_IWOTH:
        raise SettingsError([f"CROFT_HOME: {home} is writable by every user of this machine; use another directory"])


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Two starts at once must not make two different secrets."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _read_secrets(path: Path) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return {}
    with os.fdopen(descriptor, encoding="utf-8") as file:
        _make_private(path, descriptor)
        kept = {name: value for name, value in dotenv_values(stream=file, interpolate=False).items() if value}
    problems = _problems_of(kept)
    if problems:
        raise SettingsError([f"{path}: {problem}" for problem in problems])
    return kept


def _make_private(path: Path, descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        log.warning("%s could be read by other users of this machine (mode %04o); it is 0600 now.", path, mode)
        os.fchmod(descriptor, 0o600)


def _problems_of(kept: dict[str, str]) -> list[str]:
    problems = []
    if "ADMIN_PASSWORD" in kept:
        problems += [f"ADMIN_PASSWORD: {problem}" for problem in password_problems(kept["ADMIN_PASSWORD"])]
    for name, least in _LEAST_CHARACTERS.items():
        if name in kept and len(kept[name]) < least:
            problems.append(f"{name}: must be at least {least} characters")
    return problems


def _write_secrets(path: Path, values: dict[str, str]) -> None:
    """Whole or not at all: a kill in between must not leave half a secret."""
    staging = path.with_name(f"{path.name}.new")
    staging.unlink(missing_ok=True)
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write("# Made by croft at its first start. ADMIN_PASSWORD is the first administrator's first password.\n")
        file.writelines(f"{name}='{value}'\n" for name, value in values.items())
        file.flush()
        os.fsync(descriptor)
    staging.replace(path)


def _make_password() -> str:
    alphabet = string.ascii_letters + string.digits + "-_.!+"
    while True:
        password = "".join(secrets.choice(alphabet) for _ in range(_PASSWORD_CHARACTERS))
        if not password_problems(password):
            return password
