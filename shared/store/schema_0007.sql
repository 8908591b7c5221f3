-- schema_0007.sql - MTA-STS policies of recipients' domains (RFC 8461).

-- What was fetched holds for its max_age, over restarts too.
CREATE TABLE mta_sts (
    domain @TEXT@ PRIMARY KEY,                -- A-labels, lower case
    policy_id @TEXT@ NOT NULL,                -- of the TXT record
    policy @TEXT@ NOT NULL,                   -- the file, in a normal form
    fetched_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
