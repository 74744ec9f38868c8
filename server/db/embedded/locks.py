"""Who starts and stops the server of a home, and who uses it, among several croft processes."""

import fcntl
import os
from pathlib import Path

from server.db.embedded.errors import EmbeddedPostgresError
from server.db.embedded.files import read_line


class HomeLocks:
    """What one process holds of a home.

    One owner starts and stops the server and holds `postgres.owner`; whoever attaches shares `postgres.users`. Both are
    locks of the kernel, so a killed process holds none.
    """

    def __init__(self, home: Path) -> None:
        self._owner_file = home / "postgres.owner"
        self._users_file = home / "postgres.users"
        self._owner_lock: int | None = None
        self._user_lock: int | None = None

    @property
    def is_owner(self) -> bool:
        return self._owner_lock is not None

    @property
    def is_user(self) -> bool:
        return self._user_lock is not None

    def read_owner(self) -> str:
        """Who owns the server or did last, as `process 123`."""
        return read_line(self._owner_file)

    def become_owner(self) -> bool:
        """Become the owner and leave the name of this process; False when another process is the owner."""
        self._owner_lock = _lock(self._owner_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if self._owner_lock is None:
            return False
        os.ftruncate(self._owner_lock, 0)
        os.pwrite(self._owner_lock, f"process {os.getpid()}".encode(), 0)
        return True

    def join_users(self) -> None:
        """Share the use of the server; waits while another process shuts others out."""
        self._user_lock = _lock(self._users_file, fcntl.LOCK_SH)

    def shut_out_others(self) -> bool:
        """Keep others from attaching until the locks are released; False when somebody is attached."""
        self._user_lock = _lock(self._users_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self._user_lock is not None

    def leave_users(self) -> None:
        """Let go of the use, or let others in again. Without effect when there is nothing to let go."""
        if self._user_lock is not None:
            os.close(self._user_lock)
            self._user_lock = None

    def release(self) -> None:
        """Let go of everything."""
        self.leave_users()
        if self._owner_lock is not None:
            os.close(self._owner_lock)
            self._owner_lock = None


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
