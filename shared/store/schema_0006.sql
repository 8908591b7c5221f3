-- schema_0006.sql - DKIM keys that wait and retire; what DNS says of domains.

-- NULL: waits for its record to be seen (mg_dkim_key.h)
ALTER TABLE dkim_key ADD COLUMN signs_since BIGINT;
UPDATE dkim_key SET signs_since = created_at;
CREATE INDEX dkim_key_retired ON dkim_key(retired_at)
    WHERE retired_at IS NOT NULL;

ALTER TABLE domain ADD COLUMN dns_due BIGINT NOT NULL DEFAULT 0;
ALTER TABLE domain ADD COLUMN dns_checked BIGINT NOT NULL DEFAULT 0;
ALTER TABLE domain ADD COLUMN mx @TEXT@ NOT NULL DEFAULT ''; -- ours, elsewhere
CREATE INDEX domain_dns_due ON domain(dns_due);

-- A record a domain should have, as it was when last looked at (mg_dns_check.h)
CREATE TABLE dns_check (
    domain_id BIGINT NOT NULL,
    record @TEXT@ NOT NULL,                   -- mx, spf, cname, dkim.<selector>
    valid @TEXT@ NOT NULL,                    -- valid, invalid, unknown
    seen @TEXT@ NOT NULL,                     -- what was there, or why not
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (domain_id, record)
) @WITHOUT_ROWID@;
