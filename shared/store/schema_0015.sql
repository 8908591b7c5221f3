-- schema_0015.sql - mailing lists.

ALTER TABLE account ADD COLUMN member_limit BIGINT; -- of all its lists together; NULL: none

-- Campaign reports know a list's messages by this id, too (campaign_event).
CREATE TABLE list (
    id @ID@,
    account_id BIGINT NOT NULL,
    domain_id BIGINT NOT NULL,                -- of its address
    address @TEXT@ NOT NULL,
    address_lc @TEXT@ NOT NULL UNIQUE,
    name @TEXT@ NOT NULL,
    description @TEXT@ NOT NULL,
    access_level @TEXT@ NOT NULL,             -- readonly, members, everyone
    reply_preference @TEXT@ NOT NULL,         -- list, sender; ''
    members BIGINT NOT NULL,                  -- rows in list_member
    created_at BIGINT NOT NULL
);
CREATE INDEX list_account ON list(account_id, address_lc);
CREATE INDEX list_domain ON list(domain_id);

CREATE TABLE list_member (
    list_id BIGINT NOT NULL,
    address_lc @TEXT@ NOT NULL,
    address @TEXT@ NOT NULL,
    name @TEXT@ NOT NULL,
    description @TEXT@ NOT NULL,
    vars @TEXT@ NOT NULL,                     -- a JSON object
    subscribed BIGINT NOT NULL,               -- 1, 0
    created_at BIGINT NOT NULL,
    PRIMARY KEY (list_id, address_lc)
) @WITHOUT_ROWID@;

-- Deleted; the keeper removes their members.
CREATE TABLE list_gone (
    list_id @ID@,
    gone_at BIGINT NOT NULL
);
