"""Copies of a log outside of the database: written line by line, and offered to a log that has lost some of it."""
