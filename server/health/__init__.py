"""Whether the server lives, whether it is ready, and whether its database is still the one it was."""
