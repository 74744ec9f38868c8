"""Small things every room uses and that know nothing of the domain."""
