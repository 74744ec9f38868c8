"""Service accounts: programs that work in one tenant, with API keys."""

from server.auth.service_accounts.identifying import caller_from_key, identify_service, note_keys_seen
from server.auth.service_accounts.keys import KEY_PREFIX

__all__ = ["KEY_PREFIX", "caller_from_key", "identify_service", "note_keys_seen"]
