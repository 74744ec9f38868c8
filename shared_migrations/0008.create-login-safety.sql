-- How much was tried of late: at an account, from a network, in all. `level` is what was tried and not forgotten by `at`.
-- `key` is a digest: what strangers type as an e-mail address may be a password.
-- Unlogged: a guess costs no write-ahead log and no flush; what a crash of the database forgets are a few failures.
-- `gone_at`: from then on the row says nothing. Not indexed, so that a row can be changed in place: there are few.
CREATE UNLOGGED TABLE login_buckets (
    key bytea PRIMARY KEY,
    level double precision NOT NULL,
    at timestamptz NOT NULL,
    gone_at timestamptz NOT NULL
) WITH (fillfactor = 50);

GRANT SELECT, INSERT, UPDATE, DELETE ON login_buckets TO :"serving";

-- Networks from which an account has signed in: strangers elsewhere do not slow it down there.
CREATE TABLE known_places (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    network text COLLATE "C" NOT NULL,
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, network)
);

CREATE INDEX known_places_seen ON known_places (seen_at);

GRANT SELECT, INSERT, UPDATE, DELETE ON known_places TO :"serving";

-- What was mailed to somebody and proves, once, that it arrived. Of one kind only the newest is good, hence the key.
-- email: where the token was sent; with 'email-change', the new address of the account.
CREATE TABLE mailed_tokens (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('password-reset', 'email-change')),
    digest bytea NOT NULL UNIQUE,
    email text NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (user_id, purpose)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON mailed_tokens TO :"serving";

-- Who was asked to become a member. The row is gone once it was accepted or withdrawn.
-- inviter_id: where it was a member who asked; an end of that membership ends the invitations, too.
CREATE TABLE invitations (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    email text NOT NULL,
    role text COLLATE "C" NOT NULL,
    digest bytea NOT NULL UNIQUE,
    invited_by text NOT NULL,
    inviter_id bigint,
    invited_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    FOREIGN KEY (inviter_id, tenant_id) REFERENCES memberships (user_id, tenant_id) ON DELETE CASCADE
);

CREATE UNIQUE INDEX invitations_email ON invitations (tenant_id, lower(email));

CREATE INDEX invitations_inviter ON invitations (inviter_id, tenant_id) WHERE inviter_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON invitations TO :"serving";
