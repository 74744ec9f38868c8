"""Times as the field writes them: ISO 8601 in UTC with milliseconds."""

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def utc_now() -> datetime:
    """The current time, aware, in UTC."""
    return datetime.now(UTC)


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, rounded down; negative before."""
    return (at - EPOCH) // MILLISECOND


def from_ms(ms: int) -> datetime:
    """The time `ms` milliseconds after 1970-01-01 UTC. Raises OverflowError outside the years 1 to 9999."""
    return EPOCH + timedelta(milliseconds=ms)


def iso_ms(at: datetime) -> str:
    """`2026-01-31T08:15:00.000Z`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def parse_iso(text: str) -> datetime:
    """Reads an ISO 8601 time; one without an offset is UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"out of range: {text}") from error
