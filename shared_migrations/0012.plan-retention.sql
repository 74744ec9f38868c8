-- When the tenant's retention times are to be carried out next; null where its config has none.
ALTER TABLE tenants ADD COLUMN retention_due timestamptz;

CREATE INDEX tenants_retention_due ON tenants (retention_due) WHERE retention_due IS NOT NULL;
