-- schema_0003.sql - whom a domain sends nothing any more (mg_suppression.h).

CREATE TABLE bounce (
    domain_id BIGINT NOT NULL,
    address_lc @TEXT@ NOT NULL,
    address @TEXT@ NOT NULL,
    code @TEXT@ NOT NULL,                     -- '550'
    error @TEXT@ NOT NULL,                    -- the remote's words
    class @TEXT@ NOT NULL,                    -- mg_bounce.h; '' by hand
    created_at BIGINT NOT NULL,
    PRIMARY KEY (domain_id, address_lc)
) @WITHOUT_ROWID@;

CREATE TABLE complaint (
    domain_id BIGINT NOT NULL,
    address_lc @TEXT@ NOT NULL,
    address @TEXT@ NOT NULL,
    count BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (domain_id, address_lc)
) @WITHOUT_ROWID@;

CREATE TABLE unsubscribe (
    domain_id BIGINT NOT NULL,
    address_lc @TEXT@ NOT NULL,
    tag @TEXT@ NOT NULL,                      -- '*': all mail of the domain
    address @TEXT@ NOT NULL,
    public_id @TEXT@ NOT NULL UNIQUE,         -- 24 hex
    created_at BIGINT NOT NULL,
    PRIMARY KEY (domain_id, address_lc, tag)
) @WITHOUT_ROWID@;
