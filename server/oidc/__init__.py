"""Identity providers of tenants: what an issuer that a tenant named in its config says counts in that tenant alone."""
