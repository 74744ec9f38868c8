-- The login that serves, to which every new tenant's role is given.
ALTER TABLE installation ADD COLUMN serving_login text;

-- Whoever serves notes in which cluster it is, and may not say who owns the tables.
REVOKE UPDATE ON installation FROM :"serving";

GRANT UPDATE (cluster) ON installation TO :"serving";

-- The operators' log is chained like those of the tenants (tenant_migrations/0006 says how), the acts before now included.
-- tenant_id: which tenant an act is about. It outlives the tenant, hence no foreign key.
ALTER TABLE audit ALTER COLUMN id DROP IDENTITY;

ALTER TABLE audit DROP CONSTRAINT audit_pkey;

ALTER TABLE audit
    ADD COLUMN tenant_id bigint,
    ADD COLUMN digest bytea,
    ADD COLUMN link bytea,
    ADD COLUMN erased boolean NOT NULL DEFAULT false,
    ALTER COLUMN details DROP DEFAULT,
    ALTER COLUMN details TYPE json USING details::text::json;

UPDATE audit a SET id = n.number
FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM audit) n WHERE a.id = n.id;

ALTER TABLE audit ADD CONSTRAINT audit_pkey PRIMARY KEY (id);

UPDATE audit SET
    digest = sha256(convert_to(details::text, 'UTF8')),
    tenant_id = CASE json_typeof(details->'tenant') WHEN 'number' THEN (details->>'tenant')::bigint END;

-- First what is to be linked, then the link.
UPDATE audit SET link = convert_to(json_build_array(
    id, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    actor, session_id, address, action, subject, tenant_id, encode(digest, 'hex')
)::text, 'UTF8');

UPDATE audit a SET link = chain.link
FROM (
    WITH RECURSIVE linked AS (
        SELECT id, sha256(link) AS link FROM audit WHERE id = 1
        UNION ALL
        SELECT next.id, sha256(linked.link || next.link) FROM linked JOIN audit next ON next.id = linked.id + 1
    )
    SELECT id, link FROM linked
) chain
WHERE a.id = chain.id;

ALTER TABLE audit ALTER COLUMN digest SET NOT NULL, ALTER COLUMN link SET NOT NULL;

CREATE INDEX audit_actor ON audit (actor, id);

CREATE INDEX audit_tenant ON audit (tenant_id, id);

REVOKE ALL ON audit FROM :"serving";

GRANT SELECT ON audit TO :"serving";

CREATE TABLE audit_head (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    last bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT '\x'
);

INSERT INTO audit_head (last, link)
SELECT coalesce(max(id), 0), coalesce((SELECT link FROM audit ORDER BY id DESC LIMIT 1), '\x') FROM audit;

GRANT SELECT ON audit_head TO :"serving";

CREATE FUNCTION append_act(
    actor text, session_id text, address text, action text, subject text, tenant_id bigint, details text
) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH act AS (
        UPDATE audit_head h
        SET last = h.last + 1,
            link = sha256(h.link || convert_to(json_build_array(
                h.last + 1, to_char(now.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                $1, $2, $3, $4, $5, $6, encode(now.digest, 'hex')
            )::text, 'UTF8'))
        FROM (SELECT clock_timestamp() AS at, sha256(convert_to($7, 'UTF8')) AS digest) now
        RETURNING h.last, h.link, now.at, now.digest
    )
    INSERT INTO audit (id, at, actor, session_id, address, action, subject, tenant_id, details, digest, link)
    SELECT last, at, $1, $2, $3, $4, $5, $6, $7::json, digest, link FROM act
    RETURNING id
$$;

REVOKE ALL ON FUNCTION append_act FROM PUBLIC;

GRANT EXECUTE ON FUNCTION append_act TO :"serving";

-- Empties the details of acts, and notes which: that act is never emptied. There is no other way to change an act.
CREATE FUNCTION erase_acts(actor text, session_id text, address text, subject text, ids bigint[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH emptied AS (
        UPDATE audit SET details = '{}', erased = true
        WHERE id = ANY($5) AND NOT erased AND action <> 'acts.erased' RETURNING id
    )
    SELECT append_act($1, $2, $3, 'acts.erased', $4, NULL, json_build_object('acts', json_agg(id ORDER BY id))::text)
    FROM emptied HAVING count(*) > 0
$$;

REVOKE ALL ON FUNCTION erase_acts FROM PUBLIC;

GRANT EXECUTE ON FUNCTION erase_acts TO :"serving";
