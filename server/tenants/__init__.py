"""Tenants: provisioning, lifecycle, and which tenant a request is about."""
