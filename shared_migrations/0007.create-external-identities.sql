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
