"""App passwords: one for each device, made by the server, good for syncing and for nothing else."""

from server.auth.app_passwords.making import find_app_password
from server.auth.app_passwords.model import AppPassword

__all__ = ["AppPassword", "find_app_password"]
