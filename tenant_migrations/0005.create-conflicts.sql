-- Two events of different devices that wrote one field of an entity, the later one (event) not knowing of the other.
-- settled_with: the event that settled it. Values are not kept here: they stand in the events alone.
CREATE TABLE conflicts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    entity_guid text COLLATE "C" NOT NULL,
    field text NOT NULL,
    event_guid text COLLATE "C" NOT NULL,
    event_seq bigint NOT NULL,
    other_guid text COLLATE "C" NOT NULL,
    other_seq bigint NOT NULL,
    found_at timestamptz NOT NULL,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'chosen', 'superseded', 'gone')),
    settled_at timestamptz,
    settled_by text,
    settled_with text COLLATE "C"
);

CREATE UNIQUE INDEX conflicts_pair ON conflicts (event_seq, other_seq, field);

CREATE INDEX conflicts_open ON conflicts (id) WHERE state = 'open';

CREATE INDEX conflicts_open_of ON conflicts (entity_guid) WHERE state = 'open';

CREATE INDEX conflicts_entity ON conflicts (entity_guid, id);

GRANT SELECT, INSERT, UPDATE ON conflicts TO :"role";
