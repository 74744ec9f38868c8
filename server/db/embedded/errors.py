"""What goes wrong with the embedded PostgreSQL."""


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL cannot be started or reached; the message says why and what to do."""


class HomeInUse(EmbeddedPostgresError):
    """Another croft process runs the embedded PostgreSQL of this home."""
