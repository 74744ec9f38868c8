-- A password for one device, made by the server and good for syncing alone. Only its digest is kept.
-- second_factor: whoever made it had shown one, so it counts where one is asked for.
CREATE TABLE app_passwords (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    name text NOT NULL,
    digest bytea NOT NULL UNIQUE,
    second_factor boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    last_used_at timestamptz
);

CREATE INDEX app_passwords_user ON app_passwords (user_id);

GRANT SELECT, INSERT, UPDATE, DELETE ON app_passwords TO :"serving";

-- kind: 'token' has one long token, 'refresh' short ones and a rotating refresh token, 'browser' a cookie.
-- scope 'sync': it can do what a phone does and nothing else.
-- renewed_at: when its holder last proved himself, by login or refresh: from then on the offline period counts.
-- generation, token_id: the refresh token that holds now; previous_token_id: the one before it, good until it is known that
-- the answer with the present one arrived (delivered).
-- tenant_id: the only tenant it reaches, where an identity provider of that tenant opened it.
ALTER TABLE sessions
    ADD COLUMN kind text NOT NULL DEFAULT 'token' CHECK (kind IN ('token', 'refresh', 'browser')),
    ADD COLUMN scope text NOT NULL DEFAULT 'full' CHECK (scope IN ('full', 'sync')),
    ADD COLUMN renewed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN last_seen_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN generation integer NOT NULL DEFAULT 1,
    ADD COLUMN token_id uuid,
    ADD COLUMN previous_token_id uuid,
    ADD COLUMN delivered boolean NOT NULL DEFAULT false,
    ADD COLUMN second_factor_at timestamptz,
    ADD COLUMN device_id text NOT NULL DEFAULT '',
    ADD COLUMN device_name text NOT NULL DEFAULT '',
    ADD COLUMN user_agent text NOT NULL DEFAULT '',
    ADD COLUMN app_password_id bigint REFERENCES app_passwords ON DELETE CASCADE,
    ADD COLUMN tenant_id bigint REFERENCES tenants ON DELETE CASCADE;

CREATE INDEX sessions_app_password ON sessions (app_password_id) WHERE app_password_id IS NOT NULL;

CREATE INDEX sessions_tenant ON sessions (tenant_id) WHERE tenant_id IS NOT NULL;
