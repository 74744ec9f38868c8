-- erased: what the event said of a person was taken out of data and applied; its digest is that of what was pushed.
-- erases: it deletes its entity for good, so that nothing brings the person back.
ALTER TABLE events
    ADD COLUMN erased boolean NOT NULL DEFAULT false,
    ADD COLUMN erases boolean NOT NULL DEFAULT false;

ALTER TABLE entities ADD COLUMN erased boolean NOT NULL DEFAULT false;

-- Whose contents are gone for good. Their guids stay, so that phones can be told and late events be recognised.
-- event_guid: the event that deleted the entity.
CREATE TABLE erased_persons (
    guid text COLLATE "C" PRIMARY KEY,
    event_guid text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    by text NOT NULL,
    reason text NOT NULL
);

GRANT SELECT ON erased_persons TO :"role";

-- Always empty. Whoever stores what was sent locks it as one that is read FOR KEY SHARE when he looks up who was erased,
-- and an erasure locks all of it: it waits for these, and who comes later waits for it and finds who was erased.
CREATE TABLE erasing ();

GRANT SELECT, UPDATE ON erasing TO :"role";

-- The ways to change what is otherwise never changed. Each takes things away, and only from who has been erased.
CREATE FUNCTION note_erasures(persons text[], events text[], at timestamptz, by text, reason text)
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH noted AS (
        INSERT INTO erased_persons (guid, event_guid, at, by, reason)
        SELECT n.guid, n.event_guid, $3, $4, $5 FROM unnest($1, $2) AS n (guid, event_guid)
        ON CONFLICT (guid) DO NOTHING
        RETURNING event_guid
    )
    UPDATE events e SET erases = true FROM noted n WHERE e.guid = n.event_guid AND e.type = 'delete-entity'
$$;

REVOKE ALL ON FUNCTION note_erasures FROM PUBLIC;

GRANT EXECUTE ON FUNCTION note_erasures TO :"role";

CREATE FUNCTION blank_events(seqs bigint[], contents json[], applied json[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH blanked AS (
        UPDATE events e SET data = n.data, applied = n.applied, erased = true
        FROM unnest($1, $2, $3) AS n (seq, data, applied)
        WHERE e.seq = n.seq AND NOT e.erases
          AND octet_length(n.data::text) <= octet_length(e.data::text)
          AND octet_length(coalesce(n.applied::text, '')) <= octet_length(coalesce(e.applied::text, ''))
          AND (
              EXISTS (
                  SELECT FROM mentions m JOIN erased_persons p ON p.guid = m.entity_guid WHERE m.seq = e.seq
              )
              OR EXISTS (SELECT FROM erased_persons p WHERE strpos(e.data::text, to_json(p.guid)::text) > 0)
          )
        RETURNING 1
    )
    SELECT count(*) FROM blanked
$$;

REVOKE ALL ON FUNCTION blank_events FROM PUBLIC;

GRANT EXECUTE ON FUNCTION blank_events TO :"role";

CREATE FUNCTION blank_quarantine(ids bigint[], raws text[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH blanked AS (
        UPDATE quarantine q SET raw = n.raw
        FROM unnest($1, $2) AS n (id, raw)
        WHERE q.id = n.id AND octet_length(n.raw) <= octet_length(q.raw)
          AND EXISTS (SELECT FROM erased_persons p WHERE strpos(q.raw, to_json(p.guid)::text) > 0)
        RETURNING 1
    )
    SELECT count(*) FROM blanked
$$;

REVOKE ALL ON FUNCTION blank_quarantine FROM PUBLIC;

GRANT EXECUTE ON FUNCTION blank_quarantine TO :"role";

CREATE FUNCTION blank_audit_log(seqs bigint[], changes json[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH blanked AS (
        UPDATE audit_log a SET changes = n.changes, signature = ''
        FROM unnest($1, $2) AS n (seq, changes)
        WHERE a.seq = n.seq AND octet_length(n.changes::text) <= octet_length(a.changes::text)
          AND (
              EXISTS (SELECT FROM erased_persons p WHERE p.guid = a.entity_guid)
              OR EXISTS (SELECT FROM erased_persons p WHERE strpos(a.changes::text, to_json(p.guid)::text) > 0)
          )
        RETURNING 1
    )
    SELECT count(*) FROM blanked
$$;

REVOKE ALL ON FUNCTION blank_audit_log FROM PUBLIC;

GRANT EXECUTE ON FUNCTION blank_audit_log TO :"role";

CREATE FUNCTION forget_pairs(persons text[])
RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH erased AS MATERIALIZED (SELECT p.guid FROM erased_persons p WHERE p.guid = ANY($1)),
    unpaired AS (
        DELETE FROM duplicates d
        WHERE d.entity_guid IN (SELECT guid FROM erased) OR d.duplicate_guid IN (SELECT guid FROM erased)
        RETURNING 1
    ),
    settled AS (DELETE FROM conflicts c WHERE c.entity_guid IN (SELECT guid FROM erased) RETURNING 1)
    SELECT (SELECT count(*) FROM unpaired) + (SELECT count(*) FROM settled)
$$;

REVOKE ALL ON FUNCTION forget_pairs FROM PUBLIC;

GRANT EXECUTE ON FUNCTION forget_pairs TO :"role";

-- What the planner has noted of the columns holds samples of what stood in them.
CREATE FUNCTION sample_anew()
RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    ANALYZE entities, quarantine, audit_log, external_state, conflicts, acts, settings
$$;

REVOKE ALL ON FUNCTION sample_anew FROM PUBLIC;

GRANT EXECUTE ON FUNCTION sample_anew TO :"role";

-- What arrived long ago and cannot be an event, or is a device's report: the oldest first, at most so many of either.
CREATE FUNCTION forget_old(quarantined_before timestamptz, audited_before timestamptz, most integer)
RETURNS TABLE (quarantined bigint, audited bigint)
LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH unread AS (
        DELETE FROM quarantine WHERE id IN (
            SELECT q.id FROM quarantine q
            WHERE q.received_at < least($1, now() - interval '1 day') AND $1 IS NOT NULL ORDER BY q.id LIMIT $3
        ) RETURNING 1
    ),
    reported AS (
        DELETE FROM audit_log WHERE seq IN (
            SELECT a.seq FROM audit_log a
            WHERE a.received_at < least($2, now() - interval '1 day') AND $2 IS NOT NULL ORDER BY a.seq LIMIT $3
        ) RETURNING 1
    )
    SELECT (SELECT count(*) FROM unread), (SELECT count(*) FROM reported)
$$;

REVOKE ALL ON FUNCTION forget_old FROM PUBLIC;

GRANT EXECUTE ON FUNCTION forget_old TO :"role";
