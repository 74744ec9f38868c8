"""The sync protocol for new clients, /api/v2/sync, as docs/sync-protocol.md describes it."""
