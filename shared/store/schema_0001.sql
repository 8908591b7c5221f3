-- schema_0001.sql - the first schema. @ID@, @TEXT@, @BLOB@, @WITHOUT_ROWID@
-- are the dialect's (mg_migrate.c).
-- Times: microseconds since 1970. Ids: mg_id.h. Booleans: 0 or 1.
-- *_lc columns: ASCII lower case, for look-ups; the original stands beside.

CREATE TABLE account (
    id @ID@,
    name @TEXT@ NOT NULL UNIQUE,
    state @TEXT@ NOT NULL DEFAULT 'active',   -- active, disabled
    revision BIGINT NOT NULL DEFAULT 1,       -- its routes changed
    created_at BIGINT NOT NULL
);

CREATE TABLE api_key (
    id @ID@,
    account_id BIGINT NOT NULL REFERENCES account(id),
    digest @BLOB@ NOT NULL UNIQUE,            -- SHA-256 of the key
    sealed @BLOB@ NOT NULL,                   -- label "api_key", row id
    hint @TEXT@ NOT NULL,                     -- last 4 characters
    created_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX api_key_account ON api_key(account_id, id);

CREATE TABLE domain (
    id @ID@,
    account_id BIGINT NOT NULL REFERENCES account(id),
    name @TEXT@ NOT NULL,
    name_lc @TEXT@ NOT NULL UNIQUE,
    state @TEXT@ NOT NULL DEFAULT 'unverified', -- active, unverified, disabled
    revision BIGINT NOT NULL DEFAULT 1,       -- it or a setting changed
    created_at BIGINT NOT NULL
);
CREATE INDEX domain_account ON domain(account_id, id);

CREATE TABLE dkim_key (
    id @ID@,
    domain_id BIGINT NOT NULL,
    selector @TEXT@ NOT NULL,
    algorithm @TEXT@ NOT NULL,                -- rsa-sha256, ed25519-sha256
    public_key @TEXT@ NOT NULL,               -- base64 for the p= tag
    sealed @BLOB@ NOT NULL,                   -- PKCS#8 DER; label "dkim_key"
    created_at BIGINT NOT NULL,
    retired_at BIGINT,
    UNIQUE (domain_id, selector)
);

-- Whatever a customer may set, per scope ('domain', 'account', 'mailbox').
CREATE TABLE setting (
    scope @TEXT@ NOT NULL,
    scope_id BIGINT NOT NULL,
    name @TEXT@ NOT NULL,
    value @TEXT@ NOT NULL,
    PRIMARY KEY (scope, scope_id, name)
) @WITHOUT_ROWID@;

-- A login that can send but has no mailbox.
CREATE TABLE smtp_credential (
    id @ID@,
    domain_id BIGINT NOT NULL,
    login_lc @TEXT@ NOT NULL UNIQUE,
    password_hash @TEXT@ NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- home is made from the id, never from the address: a mailbox created again
-- at the same address is another row and starts empty.
CREATE TABLE mailbox (
    id @ID@,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    address @TEXT@ NOT NULL,
    address_lc @TEXT@ NOT NULL,
    password_hash @TEXT@ NOT NULL,            -- bcrypt, $2y$
    revision BIGINT NOT NULL,                 -- changes with the password
    quota_bytes BIGINT,                       -- NULL: the default; 0: unlimited
    created_at BIGINT NOT NULL,
    deleted_at BIGINT                         -- tombstone until files are gone
);
CREATE UNIQUE INDEX mailbox_live ON mailbox(address_lc)
    WHERE deleted_at IS NULL;
CREATE INDEX mailbox_domain ON mailbox(domain_id, address_lc);
CREATE INDEX mailbox_deleted ON mailbox(deleted_at)
    WHERE deleted_at IS NOT NULL;

CREATE TABLE mailbox_usage (
    mailbox_id @ID@,
    domain_id BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX mailbox_usage_domain ON mailbox_usage(domain_id);

-- Taken before a save commits, settled after. One that outlives its process
-- marks the mailbox dirty: it is counted anew.
CREATE TABLE quota_reservation (
    id @ID@,
    mailbox_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    owner @TEXT@ NOT NULL,                    -- "node:pid:start"
    created_at BIGINT NOT NULL
);
CREATE INDEX quota_reservation_mailbox ON quota_reservation(mailbox_id);
CREATE INDEX quota_reservation_domain ON quota_reservation(domain_id);

-- LMTP deliveries a mailbox took, or began to take (mg_saved_delivery.h).
CREATE TABLE saved_delivery (
    delivery_id BIGINT NOT NULL,
    mailbox_id BIGINT NOT NULL,
    state BIGINT NOT NULL,                    -- 1 saved, 2 begun
    created_at BIGINT NOT NULL,
    PRIMARY KEY (delivery_id, mailbox_id)
) @WITHOUT_ROWID@;
CREATE INDEX saved_delivery_created ON saved_delivery(created_at);

CREATE TABLE route (
    id @ID@,
    public_id @TEXT@ NOT NULL UNIQUE,         -- 24 hex
    account_id BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    description @TEXT@ NOT NULL,
    expression @TEXT@ NOT NULL,
    actions @TEXT@ NOT NULL,                  -- JSON array of strings
    created_at BIGINT NOT NULL
);
CREATE INDEX route_account ON route(account_id, priority, id);

-- One accepted message. It outlives its content, so that late events find it.
CREATE TABLE message (
    id @ID@,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    direction BIGINT NOT NULL,                -- 0 outgoing, 1 incoming
    method @TEXT@ NOT NULL,                   -- http, smtp
    message_id @TEXT@ NOT NULL,               -- without < >
    sender @TEXT@ NOT NULL,                   -- bare address, '' null sender
    from_header @TEXT@ NOT NULL,
    subject @TEXT@ NOT NULL,
    options @TEXT@ NOT NULL,                  -- JSON: tags, campaigns, o: ...
    variables @TEXT@ NOT NULL,                -- JSON: v:
    size BIGINT NOT NULL,
    recipients BIGINT NOT NULL,               -- "accepted" events
    deliveries BIGINT NOT NULL,               -- rows it began with
    created_at BIGINT NOT NULL
);
CREATE INDEX message_domain ON message(domain_id, id);
CREATE INDEX message_message_id ON message(message_id);

-- Bytes while they are needed; slices of up to 256 KB, CRLF, no dot-stuffing.
CREATE TABLE content (
    message_id BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    bytes @BLOB@ NOT NULL,
    PRIMARY KEY (message_id, seq)
);
-- Most mail fits a page: kept there and not squeezed, a message costs the
-- server a quarter less CPU.
--@PGSQL@ ALTER TABLE content SET (toast_tuple_target = 8160);
--@PGSQL@ ALTER TABLE content ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- The queue (mg_queue.h). A row leaves when it is settled.
CREATE TABLE delivery (
    id @ID@,
    message_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    transport BIGINT NOT NULL,                -- MG_TRANSPORT_*
    recipient @TEXT@ NOT NULL,                -- bare address
    recipient_as_given @TEXT@ NOT NULL,       -- "Bob <bob@x>", as the log shows
    variables @TEXT@ NOT NULL,                -- JSON, recipient's own; '{}'
    dest @TEXT@ NOT NULL,                     -- domain, mailbox id, host:port
    target @TEXT@ NOT NULL,                   -- URL of http and hook; smtp: mta_way.h
    payload @TEXT@ NOT NULL,                  -- JSON the transport needs; ''
    due_at BIGINT NOT NULL,
    claimed_by BIGINT NOT NULL DEFAULT 0,
    claim_no BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    hold BIGINT NOT NULL DEFAULT 0,
    last_reply @TEXT@,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX delivery_due ON delivery(transport, hold, domain_id, due_at);
CREATE INDEX delivery_claimed ON delivery(claimed_by) WHERE claimed_by <> 0;
CREATE INDEX delivery_message ON delivery(message_id);
-- Rows come and go: claims step over the dead ones until they are swept.
--@PGSQL@ ALTER TABLE delivery SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_cost_delay = 0);

CREATE TABLE destination (
    dest @TEXT@ NOT NULL,
    transport BIGINT NOT NULL,
    state @TEXT@ NOT NULL,                    -- JSON: what was learned
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (dest, transport)
) @WITHOUT_ROWID@;

CREATE TABLE dead_letter (
    id @ID@,
    message_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    transport BIGINT NOT NULL,
    recipient @TEXT@ NOT NULL,
    target @TEXT@ NOT NULL,
    payload @TEXT@ NOT NULL,
    attempts BIGINT NOT NULL,
    last_reply @TEXT@,
    created_at BIGINT NOT NULL
);

CREATE TABLE event (
    id @ID@,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    delivery_id BIGINT NOT NULL,              -- 0 where there is none
    kind @TEXT@ NOT NULL,                     -- mg_event.h
    recipient @TEXT@ NOT NULL,                -- bare
    log_text @TEXT@ NOT NULL,                 -- the line GET /log shows
    detail @TEXT@ NOT NULL,                   -- JSON: reply, code, mx ...
    created_at BIGINT NOT NULL
);
CREATE INDEX event_domain ON event(domain_id, id);
CREATE INDEX event_message ON event(message_id);

-- Counts by day in the writer's slot; slot 0 is where the keeper folds to.
CREATE TABLE stat (
    domain_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kind @TEXT@ NOT NULL,
    tag @TEXT@ NOT NULL,                      -- '' for all
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (domain_id, day, kind, tag, slot)
) @WITHOUT_ROWID@;
CREATE INDEX stat_slots ON stat(day) WHERE slot <> 0; -- to be folded

CREATE TABLE account_usage (
    account_id BIGINT NOT NULL,
    day BIGINT NOT NULL,
    kind @TEXT@ NOT NULL,
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (account_id, day, kind, slot)
) @WITHOUT_ROWID@;
CREATE INDEX account_usage_slots ON account_usage(day) WHERE slot <> 0;

-- Reserved; a later issue fills them.
CREATE TABLE idempotency (
    account_id BIGINT NOT NULL,
    key @TEXT@ NOT NULL,
    message_id @TEXT@ NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
) @WITHOUT_ROWID@;

-- A worker process takes a row when it starts; its id is claimed_by.
CREATE TABLE node (
    id @ID@,
    host @TEXT@ NOT NULL,
    role @TEXT@ NOT NULL,
    pid BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
