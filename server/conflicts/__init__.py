"""Conflicts: which devices changed the same field without having seen each other, and what a person made of it."""
