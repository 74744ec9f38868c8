"""The second factor of an account: codes that change with time (TOTP, RFC 6238), and recovery codes for its loss."""

from server.auth.second_factor.codes import SEED_UNREADABLE, accept_code, is_set_up, place_of_seed, reset

__all__ = ["SEED_UNREADABLE", "accept_code", "is_set_up", "place_of_seed", "reset"]
