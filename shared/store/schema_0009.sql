-- schema_0009.sql - what happened in campaigns (mg_campaign_event.h).

ALTER TABLE account ADD COLUMN campaign_limit BIGINT; -- NULL: as many as wanted

-- Which campaign an id meant to a message: its id is >= since and < until.
-- A campaign that is renamed keeps what was sent under its old id.
CREATE TABLE campaign_name (
    domain_id BIGINT NOT NULL,
    public_id @TEXT@ NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    PRIMARY KEY (domain_id, public_id, since)
) @WITHOUT_ROWID@;
CREATE INDEX campaign_name_campaign ON campaign_name(campaign_id);
INSERT INTO campaign_name (domain_id, public_id, since, until, campaign_id)
    SELECT domain_id, public_id, 0, 9223372036854775807, id FROM campaign;

-- Counts in the writer's slot; slot 0 is where the keeper folds to.
CREATE TABLE campaign_count (
    campaign_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,                     -- mg_campaign_kind_t
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    waiting BIGINT NOT NULL,                  -- rows in campaign_event
    PRIMARY KEY (campaign_id, kind, slot)
) @WITHOUT_ROWID@;
CREATE INDEX campaign_count_slots ON campaign_count(campaign_id, kind, slot)
    WHERE slot <> 0;
CREATE INDEX campaign_count_due ON campaign_count(campaign_id, kind)
    WHERE slot = 0 AND waiting >= 1000;

-- Events that are not in a segment yet.
CREATE TABLE campaign_event (
    campaign_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    id BIGINT NOT NULL,                       -- the event's
    created_at BIGINT NOT NULL,
    message_id BIGINT NOT NULL,
    recipient @TEXT@ NOT NULL,
    link @TEXT@ NOT NULL,                     -- clicked; ''
    country @TEXT@ NOT NULL,                  -- opened, clicked ...; ''
    region @TEXT@ NOT NULL,
    city @TEXT@ NOT NULL,
    ip @TEXT@ NOT NULL,
    user_agent @TEXT@ NOT NULL,
    tags @TEXT@ NOT NULL,                     -- JSON array; '' if none
    PRIMARY KEY (campaign_id, kind, id)
) @WITHOUT_ROWID@;
--@PGSQL@ ALTER TABLE campaign_event SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- 1000 events of one kind, the oldest that waited.
CREATE TABLE campaign_segment (
    campaign_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    first_id BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    PRIMARY KEY (campaign_id, kind, seq)
) @WITHOUT_ROWID@;
CREATE INDEX campaign_segment_age ON campaign_segment(kind, last_id);

-- Its columns (mg_campaign_column.h); one where all is empty has no row.
CREATE TABLE campaign_column (
    campaign_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    name BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    bytes @BLOB@ NOT NULL,
    PRIMARY KEY (campaign_id, kind, name, seq)
);
-- A column of numbers fits a page: kept there and not squeezed.
--@PGSQL@ ALTER TABLE campaign_column SET (toast_tuple_target = 8160);
--@PGSQL@ ALTER TABLE campaign_column ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Deleted; the keeper removes what they counted.
CREATE TABLE campaign_gone (
    campaign_id @ID@,
    gone_at BIGINT NOT NULL,
    cleared_at BIGINT NOT NULL DEFAULT 0      -- nothing was left then
);
