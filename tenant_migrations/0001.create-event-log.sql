-- The order of the log. A push takes its numbers here as its last statements, so numbers are seen in commit order.
-- base: where this epoch begins on the axis of logical times that installed phones are given.
-- link, previous: the last two links of the chain.
-- cluster: the database in which the epoch's numbers are given out; in another one a new epoch begins.
CREATE TABLE sync_head (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    epoch text NOT NULL,
    base bigint NOT NULL,
    head bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT '\x',
    previous bytea NOT NULL DEFAULT '\x',
    carrier_key bytea NOT NULL,
    cluster text
);

GRANT SELECT, UPDATE ON sync_head TO :"role";

-- data is kept to the letter as it was pushed; applied is what the fold takes where that is less.
-- base_seq: up to which number its maker had seen the entity, as far as is known.
CREATE TABLE events (
    seq bigint PRIMARY KEY,
    guid text COLLATE "C" NOT NULL UNIQUE,
    entity_guid text COLLATE "C" NOT NULL,
    type text NOT NULL,
    data json NOT NULL,
    applied json,
    timestamp text NOT NULL,
    timestamp_ms bigint NOT NULL,
    effective_ms bigint NOT NULL,
    user_id text NOT NULL,
    account text NOT NULL,
    device_id text NOT NULL,
    received_at timestamptz NOT NULL,
    base_seq bigint,
    digest bytea NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('applied', 'waiting', 'without-effect')),
    reason text NOT NULL DEFAULT ''
);

GRANT SELECT, INSERT ON events TO :"role";

GRANT UPDATE (outcome, reason) ON events TO :"role";

-- Which entities an event can touch: the edges along which a late event makes the state be folded anew.
CREATE TABLE mentions (
    entity_guid text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    PRIMARY KEY (entity_guid, seq)
);

CREATE INDEX mentions_seq ON mentions (seq);

GRANT SELECT, INSERT ON mentions TO :"role";

-- One row per push that brought something new; link chains it to the one before over the digests of its events.
CREATE TABLE pushes (
    last_seq bigint PRIMARY KEY,
    first_seq bigint NOT NULL,
    epoch text NOT NULL,
    account text NOT NULL,
    device_id text NOT NULL,
    received_at timestamptz NOT NULL,
    link bytea NOT NULL
);

GRANT SELECT, INSERT ON pushes TO :"role";

-- What was sent but cannot be an event, with its reason and its own words, for a person to correct.
CREATE TABLE quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    digest bytea NOT NULL UNIQUE,
    guid text NOT NULL,
    code text NOT NULL,
    path text NOT NULL,
    detail text NOT NULL,
    raw text NOT NULL,
    account text NOT NULL,
    device_id text NOT NULL,
    received_at timestamptz NOT NULL
);

GRANT SELECT, INSERT ON quarantine TO :"role";

-- What each device was last given and when it was last heard of.
CREATE TABLE devices (
    account text NOT NULL,
    id text COLLATE "C" NOT NULL,
    served_seq bigint,
    last_push timestamptz,
    last_pull timestamptz,
    PRIMARY KEY (account, id)
);

GRANT SELECT, INSERT, UPDATE ON devices TO :"role";

-- Entities of logs that had this one's id before: events about them come from phones that do not know theirs ended.
CREATE TABLE foreign_guids (
    guid text COLLATE "C" PRIMARY KEY
);

GRANT SELECT ON foreign_guids TO :"role";

-- How this organization wants its data handled, as its config says; and not-before, when this log began (milliseconds
-- since 1970), where another one had its id before.
CREATE TABLE settings (
    name text PRIMARY KEY,
    value jsonb NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON settings TO :"role";
