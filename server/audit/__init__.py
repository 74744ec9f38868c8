"""The record of administrative acts: who did what to whom, when, from where."""

from server.audit.acts import COMMAND_LINE, SYSTEM, Author, author_of, record, record_for_operators, record_inside

__all__ = ["COMMAND_LINE", "SYSTEM", "Author", "author_of", "record", "record_for_operators", "record_inside"]
