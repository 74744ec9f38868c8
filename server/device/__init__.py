"""A device that works offline and syncs with Croft: docs/device-library.md. It needs nothing else of the server."""

from server.device.device import Device
from server.device.errors import (
    DeviceError,
    EpochChanged,
    InvalidEvent,
    NotAllowed,
    NotHeld,
    NotSignedIn,
    Rejected,
    StoreInUse,
    StoreUnusable,
    SyncFailed,
    Unavailable,
)
from server.device.exchange import Retrying
from server.device.model import Conflict, Entity, Event, Head, Progress, Receipt, SyncReport

__all__ = [
    "Conflict",
    "Device",
    "DeviceError",
    "Entity",
    "EpochChanged",
    "Event",
    "Head",
    "InvalidEvent",
    "NotAllowed",
    "NotHeld",
    "NotSignedIn",
    "Progress",
    "Receipt",
    "Rejected",
    "Retrying",
    "StoreInUse",
    "StoreUnusable",
    "SyncFailed",
    "SyncReport",
    "Unavailable",
]
