"""Authentication: passwords, tokens, sessions, and who a request comes from."""
