-- Administrative acts on the installation. Rows are only ever added.
CREATE TABLE audit (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    session_id text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    action text NOT NULL,
    subject text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}'
);

CREATE INDEX audit_subject ON audit (subject, id);

GRANT SELECT, INSERT ON audit TO :"serving";
