"""The keys that secrets in the database are sealed with: which are needed, and how everything gets to a new one."""
