-- schema_0005.sql - destinations: what was learned of them, rows of one found
-- together; how much new domains and addresses sent.

DROP TABLE destination;
CREATE TABLE destination (
    site @TEXT@ NOT NULL,                     -- key of a site (mta_site.c)
    worker @TEXT@ NOT NULL,                   -- "host/seat": who learned it
    state @TEXT@ NOT NULL,                    -- JSON (mg_destination.h)
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (site, worker)
) @WITHOUT_ROWID@;
CREATE INDEX destination_updated ON destination(updated_at);

-- What waits for a recipients' domain, oldest first: moved by one statement
-- when its destination is closed. due_at is not in it, so claims leave it alone.
CREATE INDEX delivery_dest ON delivery(dest, domain_id, id)
    WHERE transport = 1;

CREATE TABLE warmup (
    subject @TEXT@ NOT NULL PRIMARY KEY,      -- "domain 17", "address 192.0.2.1"
    started_at BIGINT NOT NULL,
    day BIGINT NOT NULL,                      -- since then, from 0 on
    sent BIGINT NOT NULL                      -- on that day
) @WITHOUT_ROWID@;
