"""A person's rights: what is held about her is told, and taken away for good."""
