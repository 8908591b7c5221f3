-- schema_0002.sql - keys that sign tracking links.

CREATE TABLE tracking_key (
    id @ID@,                                  -- named in the link
    domain_id BIGINT NOT NULL,
    sealed @BLOB@ NOT NULL,                   -- 32 bytes; label "tracking_key"
    created_at BIGINT NOT NULL,
    retired_at BIGINT                         -- signs no more, still verifies
);
CREATE INDEX tracking_key_domain ON tracking_key(domain_id, id);
