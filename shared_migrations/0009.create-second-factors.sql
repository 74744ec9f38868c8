-- The second factor of an account: a seed for six-digit codes that change with time, sealed for the place `user <id> second factor`.
-- confirmed_at null: begun, and asked for nowhere until a first code was shown.
-- last_step: the newest time step whose code was taken; none is taken that is not newer.
CREATE TABLE second_factors (
    user_id bigint PRIMARY KEY REFERENCES users ON DELETE CASCADE,
    seed text NOT NULL,
    last_step bigint NOT NULL DEFAULT 0,
    begun_at timestamptz NOT NULL,
    confirmed_at timestamptz
);

GRANT SELECT, INSERT, UPDATE, DELETE ON second_factors TO :"serving";

-- Codes for when the device that shows the others is lost. Each is good for once; of those that are left only the digest is here.
CREATE TABLE recovery_codes (
    user_id bigint NOT NULL REFERENCES second_factors ON DELETE CASCADE,
    digest bytea NOT NULL,
    PRIMARY KEY (user_id, digest)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON recovery_codes TO :"serving";
