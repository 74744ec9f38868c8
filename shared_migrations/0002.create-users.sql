CREATE TABLE users (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text NOT NULL,
    password_hash text NOT NULL,
    role text NOT NULL CHECK (role IN ('ADMIN', 'USER')),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE UNIQUE INDEX users_email ON users (lower(email));

GRANT SELECT, INSERT, UPDATE, DELETE ON users TO :"serving";

CREATE TABLE memberships (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN ('admin', 'reviewer', 'collector', 'viewer')),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, tenant_id)
);

CREATE INDEX memberships_tenant ON memberships (tenant_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON memberships TO :"serving";

-- A token names its session; a session that is gone ends the token, whatever its expiry.
CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    address text NOT NULL DEFAULT ''
);

CREATE INDEX sessions_user ON sessions (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON sessions TO :"serving";
