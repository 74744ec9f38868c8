"""Which device calls: the new protocol has each one say so."""

from server.auth.authentication import SESSION_PREFIX
from server.kit.call import Caller
from server.sync.v2.cursor import DEVICE_MISSING


def device_of(caller: Caller) -> str:
    """The device's own id. Raises sync.device-missing where it sent none, or none that is fit."""
    if caller.device.startswith(SESSION_PREFIX):
        raise DEVICE_MISSING()
    return caller.device
