"""Sync: the event log, the fold that makes entities of it, and how devices push to it and pull from it."""
