"""Who may do what: the permissions, the roles that hold them, and the one place that decides."""
