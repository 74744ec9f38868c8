-- Whom a tenant's identity provider means. What a provider of one tenant says counts in that tenant alone.
-- user_id null: somebody who was deleted, and whom the provider does not bring back.
CREATE TABLE external_identities (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    issuer text COLLATE "C" NOT NULL,
    subject text COLLATE "C" NOT NULL,
    user_id bigint REFERENCES users ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, issuer, subject)
);

CREATE INDEX external_identities_user ON external_identities (user_id) WHERE user_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON external_identities TO :"serving";

-- tenant_role: the role in the tenant that the provider gave to a session that it opened; null where the membership's counts.
ALTER TABLE sessions ADD COLUMN tenant_role text COLLATE "C";

-- Logins with a browser that came back, until their time is over: none ends twice. digest: of what tells it from others.
CREATE TABLE used_logins (
    digest bytea PRIMARY KEY,
    ends_at timestamptz NOT NULL
);

CREATE INDEX used_logins_ends_at ON used_logins (ends_at);

GRANT SELECT, INSERT, DELETE ON used_logins TO :"serving";
