"""The record of administrative acts on the installation: who did what to whom, when, from where."""

from server.audit.acts import record

__all__ = ["record"]
