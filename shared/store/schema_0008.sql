-- schema_0008.sql - how many rows the suppression tables have, by domain.
--
-- n is added to by each writer in its own slot, and folded into slot 0 by the
-- keeper (mg_suppression_total.c). kind: mg_suppression_kind_t.

CREATE TABLE suppression_total (
    domain_id BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    slot BIGINT NOT NULL,
    n BIGINT NOT NULL,
    PRIMARY KEY (domain_id, kind, slot)
) @WITHOUT_ROWID@;

INSERT INTO suppression_total (domain_id, kind, slot, n)
    SELECT domain_id, 0, 0, COUNT(*) FROM bounce GROUP BY domain_id;
INSERT INTO suppression_total (domain_id, kind, slot, n)
    SELECT domain_id, 1, 0, COUNT(*) FROM unsubscribe GROUP BY domain_id;
INSERT INTO suppression_total (domain_id, kind, slot, n)
    SELECT domain_id, 2, 0, COUNT(*) FROM complaint GROUP BY domain_id;
