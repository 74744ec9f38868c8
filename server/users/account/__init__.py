"""One's own account: another password, with the old one or by mail, and another e-mail address."""
