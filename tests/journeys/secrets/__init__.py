"""Secrets that are planted everywhere, a run through every feature, and a search for them in all that it left."""
