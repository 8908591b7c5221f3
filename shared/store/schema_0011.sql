-- schema_0011.sql - events found by rank; what the events API says of a message.

-- How many events of a domain have ids of one hour (mg_event_count.h), in the
-- writer's slot. Exact totals are sums of it, and how far skip= goes is found
-- without walking there.
CREATE TABLE event_hour (
    domain_id BIGINT NOT NULL,
    hour BIGINT NOT NULL,                     -- since 2020, of event.id
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (domain_id, hour, slot)
) @WITHOUT_ROWID@;
CREATE INDEX event_hour_slots ON event_hour(hour) WHERE slot <> 0;
INSERT INTO event_hour (domain_id, hour, slot, n)
    SELECT domain_id, (id >> 22) / 3600000, 0, COUNT(*) FROM event
    GROUP BY 1, 2;

-- JSON: "to", the field; "attachments", [{filename, content-type, size}]
ALTER TABLE message ADD COLUMN summary @TEXT@ NOT NULL DEFAULT '{}';

-- Filters by kind and recipient look at the index alone.
DROP INDEX event_domain;
CREATE INDEX event_domain ON event(domain_id, id, kind, recipient);
