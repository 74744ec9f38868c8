-- What was done to this organization's data, settings and people, and who saw them. Rows are only ever added.
-- id: the number of the act, without gaps. details is kept to the letter; digest is its SHA-256.
-- link: SHA-256 over the link before and the text [id, at, actor, session_id, address, action, subject, tenant_id, digest].
-- tenant_id is null here. erased: the details are gone for a person's sake; their digest stays, so that the chain holds.
CREATE TABLE acts (
    id bigint PRIMARY KEY,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    session_id text NOT NULL,
    address text NOT NULL,
    action text NOT NULL,
    subject text NOT NULL,
    tenant_id bigint,
    details json NOT NULL,
    digest bytea NOT NULL,
    link bytea NOT NULL,
    erased boolean NOT NULL DEFAULT false
);

CREATE INDEX acts_subject ON acts (subject, id);

CREATE INDEX acts_actor ON acts (actor, id);

GRANT SELECT ON acts TO :"role";

-- The last act: its row is locked from when an act is added until that is committed.
CREATE TABLE acts_head (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    last bigint NOT NULL DEFAULT 0,
    link bytea NOT NULL DEFAULT '\x'
);

INSERT INTO acts_head DEFAULT VALUES;

GRANT SELECT ON acts_head TO :"role";

-- The only way into the log. It runs as its owner, so that who calls it needs no right on the tables.
CREATE FUNCTION append_act(
    actor text, session_id text, address text, action text, subject text, tenant_id bigint, details text
) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH act AS (
        UPDATE acts_head h
        SET last = h.last + 1,
            link = sha256(h.link || convert_to(json_build_array(
                h.last + 1, to_char(now.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
                $1, $2, $3, $4, $5, $6, encode(now.digest, 'hex')
            )::text, 'UTF8'))
        FROM (SELECT clock_timestamp() AS at, sha256(convert_to($7, 'UTF8')) AS digest) now
        RETURNING h.last, h.link, now.at, now.digest
    )
    INSERT INTO acts (id, at, actor, session_id, address, action, subject, tenant_id, details, digest, link)
    SELECT last, at, $1, $2, $3, $4, $5, $6, $7::json, digest, link FROM act
    RETURNING id
$$;

REVOKE ALL ON FUNCTION append_act FROM PUBLIC;

GRANT EXECUTE ON FUNCTION append_act TO :"role";

-- Empties the details of acts, and notes which: that act is never emptied. There is no other way to change an act.
CREATE FUNCTION erase_acts(actor text, session_id text, address text, subject text, ids bigint[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH emptied AS (
        UPDATE acts SET details = '{}', erased = true
        WHERE id = ANY($5) AND NOT erased AND action <> 'acts.erased' RETURNING id
    )
    SELECT append_act($1, $2, $3, 'acts.erased', $4, NULL, json_build_object('acts', json_agg(id ORDER BY id))::text)
    FROM emptied HAVING count(*) > 0
$$;

REVOKE ALL ON FUNCTION erase_acts FROM PUBLIC;

GRANT EXECUTE ON FUNCTION erase_acts TO :"role";
