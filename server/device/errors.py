"""What can go wrong on a device. Nothing that a device holds is lost by any of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from server.device.model import SyncReport


class DeviceError(Exception):
    """Anything that this library raises on purpose."""


class StoreInUse(DeviceError):
    """Another process, or another Device of this one, has the store open."""


class StoreUnusable(DeviceError):
    """The file is no store of a device, is of another tenant, or was written by a newer version of this library."""


class NotHeld(DeviceError, LookupError):
    """The device holds no living entity, or no event, with this guid."""


class InvalidEvent(DeviceError, ValueError):
    """What was to be recorded cannot become an event; `path` is the bad place, like `data.members[0].guid`."""

    def __init__(self, path: str, detail: str) -> None:
        super().__init__(f"{path}: {detail}" if path else detail)
        self.path = path
        self.detail = detail


class SyncFailed(DeviceError):
    """The server was not reached or did not do as it was asked. `report` says what had been done before."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.report = SyncReport()


class NotSignedIn(SyncFailed):
    """There is no token, or the server no longer takes it: sign in, then go on."""


class Unavailable(SyncFailed):
    """No answer, or none that is of use, after all attempts. `retry_after` is how many seconds the server asks for."""

    def __init__(self, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Rejected(SyncFailed):
    """The server answered with a problem that trying again does not mend: `status`, `code`, `errors`."""

    def __init__(self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)


class NotAllowed(Rejected):
    """This account may not do that in this tenant, or there is no such tenant (403, 404)."""


class EpochChanged(Rejected):
    """The server's log is another one than the device knows. `sync` deals with it; it is raised only if that fails."""

    def __init__(self, epoch: str) -> None:
        super().__init__(410, "sync.epoch-changed", f"the server's log is of the epoch {epoch}")
        self.epoch = epoch
