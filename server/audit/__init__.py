"""The record of administrative acts: who did what to whom, when, from where."""

from server.audit.acts import Author, author_of, record

__all__ = ["Author", "author_of", "record"]
