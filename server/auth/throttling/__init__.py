"""Slowing down who guesses: how often something may be tried, counted in the database for all processes at once."""
