-- schema_0004.sql - campaigns.

-- What messages are counted under; a message joins at most three.
CREATE TABLE campaign (
    id @ID@,
    domain_id BIGINT NOT NULL,
    public_id @TEXT@ NOT NULL,                -- o:campaign; ASCII, <= 64
    name @TEXT@ NOT NULL,                     -- <= 64 characters
    created_at BIGINT NOT NULL,
    UNIQUE (domain_id, public_id)
);
