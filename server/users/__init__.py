"""Accounts: who they are, what they may do on the installation, and which tenants they are members of."""
