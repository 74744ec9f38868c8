-- What devices report that they did, one row per change they made.
CREATE TABLE audit_log (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    guid text COLLATE "C" NOT NULL UNIQUE,
    timestamp text NOT NULL,
    user_id text NOT NULL,
    action text NOT NULL,
    event_guid text NOT NULL,
    entity_guid text NOT NULL,
    changes json NOT NULL,
    signature text NOT NULL,
    device_id text NOT NULL,
    received_at timestamptz NOT NULL
);

CREATE INDEX audit_log_received ON audit_log (received_at, seq);

CREATE INDEX audit_log_entity ON audit_log (entity_guid, seq);

GRANT SELECT, INSERT ON audit_log TO :"role";

-- What outside systems know of an entity, and how far each exchange has come.
CREATE TABLE external_state (
    system text NOT NULL,
    entity_guid text COLLATE "C" NOT NULL,
    external_id text NOT NULL,
    version integer NOT NULL,
    PRIMARY KEY (system, entity_guid)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON external_state TO :"role";
