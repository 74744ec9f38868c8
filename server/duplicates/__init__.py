"""Pairs of records that may be the same person or group: found at push, listed, settled."""
