-- schema_0010.sql - counters by tag stand apart; usage as it is priced.

-- stat has a few rows a day, whatever tags a customer invents.
DROP INDEX stat_slots;
ALTER TABLE stat RENAME TO stat_before;
CREATE TABLE stat (
    domain_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kind @TEXT@ NOT NULL,                     -- mg_event_kind.h: counted_as
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (domain_id, day, kind, slot)
) @WITHOUT_ROWID@;
INSERT INTO stat (domain_id, day, kind, slot, n)
    SELECT domain_id, day, kind, slot, n FROM stat_before WHERE tag = '';
DROP TABLE stat_before;
CREATE INDEX stat_slots ON stat(day) WHERE slot <> 0; -- to be folded

CREATE TABLE stat_tag (
    domain_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kind @TEXT@ NOT NULL,
    tag @TEXT@ NOT NULL,                      -- as mg_stat_slug() makes it
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (domain_id, day, kind, tag, slot)
) @WITHOUT_ROWID@;
CREATE INDEX stat_tag_name ON stat_tag(domain_id, tag); -- to be deleted
CREATE INDEX stat_tag_slots ON stat_tag(day) WHERE slot <> 0;

-- account_usage.kind: sent, campaign_sent, received, stored_bytes
UPDATE account_usage SET kind = 'sent' WHERE kind = 'accepted';
UPDATE account_usage SET kind = 'received' WHERE kind = 'accepted.in';
DELETE FROM account_usage WHERE kind NOT IN ('sent', 'received');
