-- schema_0014.sql - messages that store() keeps for the customer.

-- One recipient's copy; its content stays as long as there is a row.
CREATE TABLE stored_message (
    id @ID@,
    key @TEXT@ NOT NULL UNIQUE,               -- in its URL
    message_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    recipient @TEXT@ NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX stored_message_message ON stored_message(message_id);
CREATE INDEX stored_message_expires ON stored_message(expires_at);
CREATE INDEX stored_message_domain ON stored_message(domain_id);
