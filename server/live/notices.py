"""Notices: how processes tell each other which tenants' logs have grown.

A notice is `TENANT` or `TENANT:EPOCH:SEQ`, the head where it is known. Nothing of a tenant's data is in it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

from server.sync.v2.cursor import Head

CHANNEL = "croft_heads"

_NOTICE = re.compile(r"([1-9][0-9]{0,17})(?::([0-9a-zA-Z]{1,64}):([0-9]{1,18}))?")
_MOST_IN_A_PAYLOAD = 70
"""So many notices of the longest kind fit into one payload of PostgreSQL."""


def payloads_of(heads: Mapping[int, Head | None]) -> list[str]:
    """The notices of the tenants, by their numbers, in as few payloads as hold them."""
    written = [_written(tenant_id, head) for tenant_id, head in heads.items()]
    return [" ".join(written[at : at + _MOST_IN_A_PAYLOAD]) for at in range(0, len(written), _MOST_IN_A_PAYLOAD)]


def _written(tenant_id: int, head: Head | None) -> str:
    return f"{tenant_id}:{head.epoch}:{head.seq}" if head else str(tenant_id)


def notices_in(payload: str) -> Iterator[tuple[int, Head | None]]:
    """The tenants' numbers and heads of a payload. What is no notice, of a later version perhaps, is passed over."""
    yield from _read(payload.split(" "))


def _read(words: Iterable[str]) -> Iterator[tuple[int, Head | None]]:
    for word in words:
        if found := _NOTICE.fullmatch(word):
            yield int(found[1]), Head(found[2], int(found[3])) if found[2] else None
