"""Checking receipts: that the server took the very events that this device pushed."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from server.device.model import Data, Event, Receipt
from server.device.strict import canonical


def digest(event: Event) -> bytes:
    """SHA-256 over the RFC 8785 form of what of the event travels; what it was based on has no part in it."""
    if event.digest:
        return bytes.fromhex(event.digest)
    return sha256(canonical(event.content()).encode()).digest()


def link(previous: str, first: int, events: Sequence[Event]) -> str:
    """The hash, in hex, of the link that a push of these events adds to the chain."""
    return sha256(bytes.fromhex(previous) + first.to_bytes(8, "big") + b"".join(map(digest, events))).hexdigest()


def read_receipt(answer: Data) -> Receipt:
    """A receipt as the server sent it, not verified yet."""
    return Receipt(
        epoch=answer["epoch"],
        first=answer["first"],
        last=answer["last"],
        hash=answer["hash"],
        previous=answer["previous"] or "",
        verified=None,
    )


def verify(receipt: Receipt, events: Sequence[Event], before: Receipt | None) -> Receipt:
    """The receipt with the verdict on it.

    `events` are those that this device holds among the receipt's numbers, in the order of these; `before` is the
    receipt whose numbers end where this one's begin, if the device has it.
    """
    if [event.seq for event in events] != list(range(receipt.first, receipt.last + 1)):
        return receipt
    follows = before is None or before.hash == receipt.previous
    is_right = follows and link(receipt.previous, receipt.first, events) == receipt.hash
    if not is_right and any(event.digest for event in events):
        return receipt  # what is left of an event may have been pushed instead of the whole
    return replace(receipt, verified=is_right)


def contradicted(receipt: Receipt) -> Receipt:
    """The receipt, marked as one that is not about what was pushed."""
    return replace(receipt, verified=False)
