-- The fold of the log. state 'missing': mentioned, but nothing has made it yet.
-- created: a create or a listing as a member made it, not only an update.
-- newest: place in the order of the fold of the newest event that touched it.
-- born: where in that order it came into being; members are shown in the order of their births.
-- fed_seq: number of the last event that mentioned or changed it.
CREATE TABLE entities (
    guid text COLLATE "C" PRIMARY KEY,
    state text NOT NULL DEFAULT 'missing' CHECK (state IN ('missing', 'live', 'deleted')),
    created boolean NOT NULL DEFAULT false,
    type text NOT NULL DEFAULT 'individual' CHECK (type IN ('individual', 'group')),
    name text NOT NULL DEFAULT '',
    entity_name text NOT NULL DEFAULT '',
    external_id text,
    version integer NOT NULL DEFAULT 0,
    data jsonb NOT NULL DEFAULT '{}',
    member_ids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    parent_ids text[] COLLATE "C" NOT NULL DEFAULT '{}',
    updated_ms bigint NOT NULL DEFAULT 0,
    newest jsonb,
    born jsonb,
    deaths integer NOT NULL DEFAULT 0,
    fed_seq bigint NOT NULL DEFAULT 0,
    name_parts text[] COLLATE "C" NOT NULL DEFAULT '{}'
);

CREATE INDEX entities_fed ON entities (fed_seq, guid);

CREATE INDEX entities_updated ON entities (updated_ms, guid) WHERE state = 'live';

CREATE INDEX entities_form ON entities ((coalesce(nullif(entity_name, ''), type)), updated_ms, guid)
WHERE state = 'live';

CREATE INDEX entities_groups ON entities (updated_ms, guid) WHERE state = 'live' AND type = 'group';

CREATE INDEX entities_name ON entities (name, guid) WHERE state = 'live';

CREATE INDEX entities_name_parts ON entities USING gin (name_parts) WITH (gin_pending_list_limit = 256) WHERE state = 'live';

CREATE INDEX entities_external_id ON entities (external_id) WHERE external_id IS NOT NULL;

GRANT SELECT, INSERT, UPDATE, DELETE ON entities TO :"role";

-- How many live entities there are of each form: kept by every push, so that no list is ever counted.
CREATE TABLE entity_counts (
    form text PRIMARY KEY,
    n bigint NOT NULL
);

GRANT SELECT, INSERT, UPDATE, DELETE ON entity_counts TO :"role";
