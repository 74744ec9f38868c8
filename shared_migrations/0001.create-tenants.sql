-- What every process of one installation shares: which cluster its data belongs to, and who owns tenants' tables.
CREATE TABLE installation (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    owner_role text NOT NULL,
    cluster text
);

GRANT SELECT, UPDATE ON installation TO :"serving";

-- A config id may be taken again once its tenant is deleted, hence the partial index.
CREATE TABLE tenants (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    config_id text COLLATE "C" NOT NULL,
    artifact_id text COLLATE "C" NOT NULL UNIQUE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    version text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'deleted')),
    schema_name text COLLATE "C" NOT NULL UNIQUE,
    role_name text COLLATE "C" NOT NULL UNIQUE,
    schema_version text COLLATE "C" NOT NULL DEFAULT '',
    config_number integer NOT NULL DEFAULT 0,
    entities_count bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    deleted_at timestamptz
);

CREATE UNIQUE INDEX tenants_config_id ON tenants (config_id) WHERE state <> 'deleted';

CREATE INDEX tenants_schema_version ON tenants (schema_version);

GRANT SELECT, INSERT, UPDATE, DELETE ON tenants TO :"serving";

-- Every upload is kept as it was, secrets included: the table is read by nobody but the server.
CREATE TABLE config_versions (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    number integer NOT NULL,
    document json NOT NULL,
    uploaded_at timestamptz NOT NULL DEFAULT now(),
    uploaded_by text NOT NULL,
    PRIMARY KEY (tenant_id, number)
);

GRANT SELECT, INSERT, DELETE ON config_versions TO :"serving";

-- Ids that tenants had when they were deleted: their phones go on under them, whoever has one next.
-- A row outlives its tenant, hence no foreign key.
CREATE TABLE former_config_ids (
    config_id text COLLATE "C" NOT NULL,
    tenant_id bigint NOT NULL,
    PRIMARY KEY (config_id, tenant_id)
);

GRANT SELECT, INSERT ON former_config_ids TO :"serving";
