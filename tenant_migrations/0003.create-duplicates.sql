-- The keys of each entity under each rule: records that share a key are candidates.
CREATE TABLE duplicate_keys (
    entity_guid text COLLATE "C" NOT NULL,
    key bigint NOT NULL,
    rule text NOT NULL,
    PRIMARY KEY (key, entity_guid)
);

CREATE INDEX duplicate_keys_entity ON duplicate_keys (entity_guid);

GRANT SELECT, INSERT, UPDATE, DELETE ON duplicate_keys TO :"role";

-- One row per pair, whichever way round it was found: entity_guid is the one that came later.
CREATE TABLE duplicates (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_guid text COLLATE "C" NOT NULL,
    duplicate_guid text COLLATE "C" NOT NULL,
    rule text NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'kept', 'deleted', 'gone')),
    found_at timestamptz NOT NULL,
    settled_at timestamptz,
    settled_by text
);

CREATE UNIQUE INDEX duplicates_pair ON duplicates (least(entity_guid, duplicate_guid), greatest(entity_guid, duplicate_guid));

CREATE INDEX duplicates_open ON duplicates (id) WHERE state = 'open';

CREATE INDEX duplicates_entity ON duplicates (entity_guid);

CREATE INDEX duplicates_duplicate ON duplicates (duplicate_guid);

GRANT SELECT, INSERT, UPDATE ON duplicates TO :"role";

-- Up to which number of the log pairs have been looked for.
CREATE TABLE duplicates_progress (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    seq bigint NOT NULL DEFAULT 0
);

INSERT INTO duplicates_progress DEFAULT VALUES;

GRANT SELECT, UPDATE ON duplicates_progress TO :"role";
