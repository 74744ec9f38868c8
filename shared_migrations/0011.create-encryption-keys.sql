-- The keys that sealed secrets here and may still be needed, by their ids, so that a start can tell which are missing
-- without looking at everything that is sealed.
CREATE TABLE encryption_keys (
    id text COLLATE "C" PRIMARY KEY,
    first_used timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT, DELETE ON encryption_keys TO :"serving";

-- Secrets are sealed anew in the versions that hold them.
GRANT UPDATE (document) ON config_versions TO :"serving";
