"""Croft: a schema-per-tenant sync server for offline-first field data collection."""

__version__ = "0.1.0"
