-- Programs that work in one tenant. A key gives some of the permissions that its account's role has.
CREATE TABLE service_accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    role text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL
);

CREATE UNIQUE INDEX service_accounts_name ON service_accounts (tenant_id, lower(name));

GRANT SELECT, INSERT, UPDATE, DELETE ON service_accounts TO :"serving";

-- prefix: the part of the key that may be shown, and by which it is found; of the rest only the digest is kept.
CREATE TABLE api_keys (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    service_account_id bigint NOT NULL REFERENCES service_accounts ON DELETE CASCADE,
    name text NOT NULL,
    prefix text COLLATE "C" NOT NULL UNIQUE,
    digest bytea NOT NULL,
    scopes text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    expires_at timestamptz,
    last_used_at timestamptz,
    revoked_at timestamptz
);

CREATE INDEX api_keys_account ON api_keys (service_account_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON api_keys TO :"serving";
