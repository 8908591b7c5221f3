/* mg_queue_sql.h - the queue's statements where the two dialects differ; the
 * only place that asks which one it is (mg_queue.c).
 *
 * Both use the index delivery_due (transport, hold, domain_id, due_at).
 * SQLite: a statement per domain costs microseconds. PostgreSQL: each one is a
 * round trip, so all domains of a round go in one; rows another worker is
 * claiming right now are skipped, not waited for.
 */
#ifndef MG_QUEUE_SQL_H
#define MG_QUEUE_SQL_H

#define QUEUE_COLUMNS                                                         \
    "id, message_id, account_id, domain_id, transport, recipient,"            \
    " recipient_as_given, variables, dest, target, payload, last_reply,"      \
    " due_at, created_at, expires_at, claimed_by, claim_no, attempts, hold"

/* Domains with something due, behind $2: a loose index scan, a step a domain.
 * $1 transport, $2 behind this domain, $3 now, $4 limit */
#define QUEUE_DUE_DOMAINS                                                     \
    "WITH RECURSIVE d(id) AS ("                                               \
    " SELECT (SELECT q.domain_id FROM delivery q WHERE q.transport = $1"      \
    "  AND q.hold = 0 AND q.domain_id > $2 ORDER BY q.domain_id LIMIT 1)"     \
    " UNION ALL"                                                              \
    " SELECT (SELECT q.domain_id FROM delivery q WHERE q.transport = $1"      \
    "  AND q.hold = 0 AND q.domain_id > d.id ORDER BY q.domain_id LIMIT 1)"   \
    " FROM d WHERE d.id IS NOT NULL)"                                         \
    " SELECT d.id FROM d WHERE d.id IS NOT NULL AND EXISTS ("                 \
    "  SELECT 1 FROM delivery q WHERE q.transport = $1 AND q.hold = 0"        \
    "  AND q.domain_id = d.id AND q.due_at <= $3) LIMIT $4"

/* When each domain's first row is due, and of these the first.
 * $1 transport */
#define QUEUE_NEXT_DUE                                                        \
    "WITH RECURSIVE d(id) AS ("                                               \
    " SELECT (SELECT q.domain_id FROM delivery q WHERE q.transport = $1"      \
    "  AND q.hold = 0 ORDER BY q.domain_id LIMIT 1)"                          \
    " UNION ALL"                                                              \
    " SELECT (SELECT q.domain_id FROM delivery q WHERE q.transport = $1"      \
    "  AND q.hold = 0 AND q.domain_id > d.id ORDER BY q.domain_id LIMIT 1)"   \
    " FROM d WHERE d.id IS NOT NULL)"                                         \
    " SELECT MIN((SELECT q.due_at FROM delivery q WHERE q.transport = $1"     \
    "  AND q.hold = 0 AND q.domain_id = d.id ORDER BY q.due_at LIMIT 1))"     \
    " FROM d WHERE d.id IS NOT NULL"

/* $1 lease ends, $2 worker, $3 transport, $4 domain, $5 now, $6 slice */
#define QUEUE_CLAIM_SQLITE                                                    \
    "UPDATE delivery SET due_at = $1, claimed_by = $2,"                       \
    " claim_no = claim_no + 1 WHERE id IN (SELECT q.id FROM delivery q"       \
    "  WHERE q.transport = $3 AND q.hold = 0 AND q.domain_id = $4"            \
    "  AND q.due_at <= $5 ORDER BY q.due_at LIMIT $6)"                        \
    " RETURNING " QUEUE_COLUMNS

/* $1 lease ends, $2 worker, $3 array of domains '{1,2,3}', $4 transport,
 * $5 now, $6 array of their slices */
#define QUEUE_CLAIM_PGSQL                                                     \
    "UPDATE delivery SET due_at = $1, claimed_by = $2,"                       \
    " claim_no = claim_no + 1 WHERE id = ANY (ARRAY("                         \
    " SELECT c.id FROM unnest(CAST($3 AS bigint[]), CAST($6 AS bigint[]))"    \
    " AS d(id, slice)"                                                        \
    " CROSS JOIN LATERAL (SELECT q.id FROM delivery q"                        \
    "  WHERE q.transport = $4 AND q.hold = 0 AND q.domain_id = d.id"          \
    "  AND q.due_at <= $5 ORDER BY q.due_at LIMIT d.slice"                    \
    "  FOR UPDATE SKIP LOCKED) c))"                                           \
    " RETURNING " QUEUE_COLUMNS

/* The last id of a step, and how many rows it has (index delivery_dest).
 * $1 dest, $2 sending domain, $3 behind this id, $4 limit */
#define QUEUE_MOVE_LOOK                                                       \
    "SELECT COALESCE(MAX(c.id), 0), COUNT(*) FROM (SELECT q.id"               \
    " FROM delivery q WHERE q.transport = 1 AND q.dest = $1"                  \
    " AND q.domain_id = $2 AND q.id > $3 ORDER BY q.id LIMIT $4) c"

/* $1 until, $2 spread, $3 dest, $4 sending domain, $5 behind this id, $6 up to
 * this one, $7 how long a row without an end of its own is tried, $8 target. An
 * empty last_reply: the operator wants it tried whatever the destination says */
#define QUEUE_MOVE_WHICH                                                      \
    " q.transport = 1 AND q.dest = $3 AND q.domain_id = $4 AND q.id > $5"     \
    " AND q.id <= $6 AND q.hold = 0 AND q.claimed_by = 0 AND q.due_at < $1"   \
    " AND q.target = $8 AND COALESCE(q.last_reply, '-') <> ''"                \
    " AND CASE WHEN q.expires_at > 0 THEN q.expires_at"                       \
    "  ELSE q.created_at + $7 END > $1 + $2"
#define QUEUE_MOVE_SQLITE                                                     \
    "UPDATE delivery AS q SET due_at = $1 + q.id % $2 WHERE" QUEUE_MOVE_WHICH

/* Who is being claimed right now is left alone. */
#define QUEUE_MOVE_PGSQL                                                      \
    "UPDATE delivery SET due_at = $1 + id % $2 WHERE id = ANY (ARRAY("        \
    " SELECT q.id FROM delivery q WHERE" QUEUE_MOVE_WHICH                     \
    " ORDER BY q.id FOR UPDATE SKIP LOCKED))"

/* $1 lease ends, $2 id, $3 claim_no */
#define QUEUE_RENEW_SQLITE                                                    \
    "UPDATE delivery SET due_at = $1 WHERE id = $2 AND claim_no = $3"         \
    " RETURNING id"

/* $1 lease ends, $2 ids, $3 claim_nos: arrays of the same length */
#define QUEUE_RENEW_PGSQL                                                     \
    "UPDATE delivery SET due_at = $1"                                         \
    " FROM unnest(CAST($2 AS bigint[]), CAST($3 AS bigint[])) AS u(id, no)"   \
    " WHERE delivery.id = u.id AND delivery.claim_no = u.no"                  \
    " RETURNING delivery.id"

#endif
