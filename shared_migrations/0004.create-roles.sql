-- What an organization asks for beyond the ordinary.
-- offline_days: how long its phones may be away before a login is asked for; null is what the installation says.
-- second_factor: whoever works in it has to have shown one. guarded: operators need a grant to see its data.
-- form_roles: which roles may submit and see the records of a form, {form: [role]}; forms that are absent are everybody's.
ALTER TABLE tenants
    ADD COLUMN offline_days integer CHECK (offline_days BETWEEN 1 AND 366),
    ADD COLUMN second_factor boolean NOT NULL DEFAULT false,
    ADD COLUMN guarded boolean NOT NULL DEFAULT false,
    ADD COLUMN form_roles jsonb NOT NULL DEFAULT '{}';

-- Roles that an organization made for itself, beside the built-in ones.
CREATE TABLE tenant_roles (
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name text COLLATE "C" NOT NULL CHECK (lower(name) NOT IN ('admin', 'reviewer', 'collector', 'viewer')),
    description text NOT NULL DEFAULT '',
    permissions text[] NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, name)
);

CREATE UNIQUE INDEX tenant_roles_name ON tenant_roles (tenant_id, lower(name));

GRANT SELECT, INSERT, UPDATE, DELETE ON tenant_roles TO :"serving";

ALTER TABLE memberships DROP CONSTRAINT memberships_role_check;

-- For how long an operator may see the data of a guarded tenant, and why. A row stays when its time is over, and when
-- the operator is gone.
CREATE TABLE break_glass (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id bigint NOT NULL REFERENCES tenants ON DELETE CASCADE,
    user_id bigint REFERENCES users ON DELETE SET NULL,
    reason text NOT NULL,
    granted_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ended_at timestamptz
);

CREATE INDEX break_glass_holder ON break_glass (user_id, tenant_id, expires_at);

CREATE INDEX break_glass_tenant ON break_glass (tenant_id, id);

GRANT SELECT, INSERT, UPDATE, DELETE ON break_glass TO :"serving";
