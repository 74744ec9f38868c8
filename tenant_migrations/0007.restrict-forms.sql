-- Which records a transaction sees, where an organization gives some of its forms to some roles alone. The setting
-- croft.hidden_forms of the transaction is a JSON list of the forms that it must not see; nothing is hidden without it,
-- because the server itself folds and compares all there is. The policies work only where row level security is switched
-- on, which is done for those organizations that need it.
-- Whether an event that speaks of the entity names one of the forms. A deleted entity has lost its form, while the events
-- that tell what it was are still there. It runs as its owner, because a policy cannot ask what it decides about.
CREATE FUNCTION was_of_form(entity text, forms text[]) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT EXISTS (
        SELECT FROM mentions m JOIN events e ON e.seq = m.seq CROSS JOIN unnest($2) AS f (form)
        WHERE m.entity_guid = $1 AND strpos(e.data::text, '"entityName":' || to_json(f.form)::text) > 0
    )
$$;

REVOKE ALL ON FUNCTION was_of_form FROM PUBLIC;

GRANT EXECUTE ON FUNCTION was_of_form TO :"role";

CREATE POLICY everything ON entities FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON entities AS RESTRICTIVE FOR SELECT TO :"role" USING (
    coalesce(nullif(entity_name, ''), type) <> ALL (ARRAY(
        SELECT jsonb_array_elements_text(
            coalesce(nullif(current_setting('croft.hidden_forms', true), ''), '[]')::jsonb
        )
    ))
    AND (
        state <> 'deleted'
        OR (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
        OR NOT was_of_form(guid, ARRAY(
            SELECT jsonb_array_elements_text(
                coalesce(nullif(current_setting('croft.hidden_forms', true), ''), '[]')::jsonb
            )
        ))
    )
);

CREATE POLICY everything ON entity_counts FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON entity_counts AS RESTRICTIVE FOR SELECT TO :"role" USING (
    form <> ALL (ARRAY(
        SELECT jsonb_array_elements_text(
            coalesce(nullif(current_setting('croft.hidden_forms', true), ''), '[]')::jsonb
        )
    ))
);

-- What speaks of anything hidden is hidden. A mention always has its entity, so one that is not seen is a hidden one.
CREATE POLICY everything ON events FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON events AS RESTRICTIVE FOR SELECT TO :"role" USING (
    (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
    OR NOT EXISTS (
        SELECT FROM mentions m
        WHERE m.seq = events.seq AND NOT EXISTS (SELECT FROM entities e WHERE e.guid = m.entity_guid)
    )
);

CREATE POLICY everything ON duplicates FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON duplicates AS RESTRICTIVE FOR SELECT TO :"role" USING (
    (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
    OR (
        EXISTS (SELECT FROM entities e WHERE e.guid = duplicates.entity_guid)
        AND EXISTS (SELECT FROM entities e WHERE e.guid = duplicates.duplicate_guid)
    )
);

CREATE POLICY everything ON conflicts FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON conflicts AS RESTRICTIVE FOR SELECT TO :"role" USING (
    (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
    OR (
        EXISTS (SELECT FROM entities e WHERE e.guid = conflicts.entity_guid)
        AND EXISTS (SELECT FROM events v WHERE v.seq = conflicts.event_seq)
        AND EXISTS (SELECT FROM events v WHERE v.seq = conflicts.other_seq)
    )
);

-- What could not be read as an event has no form that could be trusted: it is for those who see everything.
CREATE POLICY everything ON quarantine FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON quarantine AS RESTRICTIVE FOR SELECT TO :"role" USING (
    (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
);

CREATE POLICY everything ON audit_log FOR ALL TO :"role" USING (true) WITH CHECK (true);

CREATE POLICY seen ON audit_log AS RESTRICTIVE FOR SELECT TO :"role" USING (
    (SELECT coalesce(current_setting('croft.hidden_forms', true), '')) = ''
    OR EXISTS (SELECT FROM entities e WHERE e.guid = audit_log.entity_guid)
);

-- sight: which view of the log the device was served last; a device that comes to see more begins anew.
-- anew_since: from where it asked when it was begun anew, so that it is begun anew again when that answer was lost.
ALTER TABLE devices
    ADD COLUMN sight text NOT NULL DEFAULT '',
    ADD COLUMN anew_since text;

-- Switching it on and off is the owner's right, which a server may do without. Whoever could misuse these two could set
-- croft.hidden_forms as well.
CREATE FUNCTION hide_forms() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    ALTER TABLE entities ENABLE ROW LEVEL SECURITY;
    ALTER TABLE entity_counts ENABLE ROW LEVEL SECURITY;
    ALTER TABLE events ENABLE ROW LEVEL SECURITY;
    ALTER TABLE duplicates ENABLE ROW LEVEL SECURITY;
    ALTER TABLE conflicts ENABLE ROW LEVEL SECURITY;
    ALTER TABLE quarantine ENABLE ROW LEVEL SECURITY;
    ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY
$$;

REVOKE ALL ON FUNCTION hide_forms FROM PUBLIC;

GRANT EXECUTE ON FUNCTION hide_forms TO :"role";

CREATE FUNCTION show_forms() RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    ALTER TABLE entities DISABLE ROW LEVEL SECURITY;
    ALTER TABLE entity_counts DISABLE ROW LEVEL SECURITY;
    ALTER TABLE events DISABLE ROW LEVEL SECURITY;
    ALTER TABLE duplicates DISABLE ROW LEVEL SECURITY;
    ALTER TABLE conflicts DISABLE ROW LEVEL SECURITY;
    ALTER TABLE quarantine DISABLE ROW LEVEL SECURITY;
    ALTER TABLE audit_log DISABLE ROW LEVEL SECURITY
$$;

REVOKE ALL ON FUNCTION show_forms FROM PUBLIC;

GRANT EXECUTE ON FUNCTION show_forms TO :"role";
