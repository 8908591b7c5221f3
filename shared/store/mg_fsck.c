/* mg_fsck.c - does the store agree with itself? (mailgunctl fsck)
 *
 * Each check is one statement over whole tables, good for millions of rows and
 * consistent in itself while others write; a finding is a sentence with ids.
 * The balance of a message: each delivery it began with has ended (one event
 * delivered, dropped, mailbox, posted or forward_failed; failed, with a dropped
 * if it went out; or a dead letter), or is still queued.
 * Events without a delivery (test mode, bounces that come back) are outside of
 * it, and so are reports that wait to be read.
 */
#include <apr_strings.h>

#include "mg_event.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"

#define FINDINGS_MAX 50  /* of one check; more say no more */
#define HOUR (3600 * APR_TIME_C(1000000))

/* Parameters a check may use, in this order; unused ones are not bound. */
typedef enum { NO_TIME, BEFORE_TIME, BEFORE_ID } needs_t;

typedef struct {
    const char *words;   /* %1 .. %5: columns of the row */
    const char *sql;     /* five columns, text or number; ends in a LIMIT */
    needs_t needs;       /* $1: an hour ago, as time or as id */
} check_t;

/* How each delivery ended: its last event, or its dead letter. One that was
 * refused has two, failed and dropped. */
#define ENDED                                                                 \
    "SELECT e.message_id, e.delivery_id FROM event e WHERE e.kind IN"         \
    " ('delivered', 'failed', 'dropped', 'posted', 'mailbox',"                \
    "  'forward_failed', 'list_expanded') AND e.delivery_id <> 0"             \
    " UNION SELECT l.message_id, l.id FROM dead_letter l"                     \
    " WHERE l.transport <> 4"
#define QUEUED                                                                \
    "SELECT q.message_id, q.id FROM delivery q"                               \
    " WHERE q.transport NOT IN (4, 6, 7)"
/* Events expire in the order of their ids: of a message younger than the
 * oldest event all of them are there. */
#define ALL_EVENTS_THERE                                                      \
    " m.id > (SELECT COALESCE(MIN(o.id), 0) FROM event o)"

static const check_t checks[] = {
    { "message %1: %2 recipients were accepted, %3 accepted events are there",
      "SELECT m.id, m.recipients, COALESCE(a.n, 0), 0, 0 FROM message m"
      " LEFT JOIN (SELECT e.message_id, COUNT(*) AS n FROM event e"
      "  WHERE e.kind = 'accepted' AND e.delivery_id <> 0"
      "  GROUP BY e.message_id) a"
      "  ON a.message_id = m.id WHERE COALESCE(a.n, 0) <> m.recipients"
      " AND" ALL_EVENTS_THERE " ORDER BY m.id LIMIT 51", NO_TIME },
    { "message %1: began with %2 deliveries; %3 ended or are queued",
      "SELECT m.id, m.deliveries, COALESCE(x.n, 0), 0, 0 FROM message m"
      " LEFT JOIN (SELECT y.message_id, COUNT(*) AS n FROM (" ENDED
      "  UNION " QUEUED ") y GROUP BY y.message_id) x"
      "  ON x.message_id = m.id WHERE COALESCE(x.n, 0) <> m.deliveries"
      " AND" ALL_EVENTS_THERE " ORDER BY m.id LIMIT 51", NO_TIME },
    { "message %1: delivery %2 ended %3 times",
      "SELECT e.message_id, e.delivery_id, COUNT(*), 0, 0 FROM event e"
      " WHERE e.kind IN ('delivered', 'failed', 'dropped', 'posted',"
      "  'mailbox', 'forward_failed', 'list_expanded')"
      " AND e.delivery_id <> 0 GROUP BY e.message_id, e.delivery_id"
      " HAVING SUM(CASE e.kind WHEN 'failed' THEN 0 ELSE 1 END) > 1"
      " OR SUM(CASE e.kind WHEN 'failed' THEN 1 ELSE 0 END) > 1"
      " ORDER BY e.delivery_id LIMIT 51", NO_TIME },
    { "message %1: %2 bounced and was not dropped",
      "SELECT e.message_id, e.recipient, 0, 0, 0 FROM event e"
      " JOIN message m ON m.id = e.message_id AND m.direction = 0"
      " LEFT JOIN event x ON x.message_id = e.message_id"
      " AND x.delivery_id = e.delivery_id AND x.recipient = e.recipient"
      " AND x.kind = 'dropped' WHERE e.kind IN ('failed', 'failed_late')"
      " AND e.detail LIKE '%\"reason\":%' AND x.id IS NULL"
      " ORDER BY e.id LIMIT 51", NO_TIME },
    { "message %1: delivery %2 has ended and is still queued",
      "SELECT q.message_id, q.id, 0, 0, 0 FROM delivery q JOIN event e"
      " ON e.message_id = q.message_id AND e.delivery_id = q.id"
      " WHERE e.kind IN ('delivered', 'failed', 'dropped', 'posted',"
      "  'mailbox', 'forward_failed', 'list_expanded')"
      " AND q.transport <> 4 ORDER BY q.id LIMIT 51", NO_TIME },
    { "domain %1: %2 events are counted by the hour, %3 are there",
      "SELECT x.domain_id, CAST(SUM(x.h) AS BIGINT), CAST(SUM(x.e) AS BIGINT),"
      " 0, 0 FROM (SELECT domain_id, n AS h, 0 AS e FROM event_hour UNION ALL"
      " SELECT domain_id, 0, COUNT(*) FROM event GROUP BY domain_id) x"
      " GROUP BY x.domain_id HAVING SUM(x.h) <> SUM(x.e)"
      " ORDER BY x.domain_id LIMIT 51", NO_TIME },
    { "domain %1, day %2: %3 events are there, %4 were counted",
      "SELECT e.domain_id, e.day, e.n, COALESCE(s.n, 0), 0 FROM"
      " (SELECT domain_id, created_at / 86400000000 AS day, COUNT(*) AS n"
      "  FROM event GROUP BY domain_id, created_at / 86400000000) e"
      " LEFT JOIN (SELECT domain_id, day, SUM(n) AS n FROM stat"
      "  GROUP BY domain_id, day) s"
      " ON s.domain_id = e.domain_id AND s.day = e.day"
      " WHERE e.n > COALESCE(s.n, 0)" /* fewer: some have expired */
      " AND e.day >= (SELECT MIN(day) FROM stat) LIMIT 51", NO_TIME },
    { "events without their message %1, the first is %2",
      "SELECT e.message_id, MIN(e.id), 0, 0, 0 FROM event e LEFT JOIN message"
      " m ON m.id = e.message_id WHERE m.id IS NULL AND e.message_id <> 0"
      " GROUP BY e.message_id LIMIT 51", NO_TIME },
    { "delivery %1: its message %2 is not there",
      "SELECT q.id, q.message_id, 0, 0, 0 FROM delivery q LEFT JOIN message m"
      " ON m.id = q.message_id WHERE m.id IS NULL LIMIT 51", NO_TIME },
    { "delivery %1: message %2 has no content",
      "SELECT q.id, q.message_id, 0, 0, 0 FROM delivery q"
      " LEFT JOIN content c ON c.message_id = q.message_id AND c.seq = 0"
      " WHERE c.message_id IS NULL LIMIT 51", NO_TIME },
    { "content of %1: %2 slices, the last is number %3",
      "SELECT c.message_id, COUNT(*), MAX(c.seq), 0, 0 FROM content c"
      " GROUP BY c.message_id HAVING COUNT(*) <> MAX(c.seq) + 1 LIMIT 51",
      NO_TIME },
    { "content of %1: there is no such message, and it is over an hour old",
      "SELECT c.message_id, 0, 0, 0, 0 FROM content c LEFT JOIN message m"
      " ON m.id = c.message_id WHERE m.id IS NULL AND c.seq = 0"
      " AND c.message_id < $1 LIMIT 51", BEFORE_ID },
    { "delivery %1: the claim of worker %2 ran out over an hour ago",
      "SELECT q.id, q.claimed_by, 0, 0, 0 FROM delivery q"
      " WHERE q.claimed_by <> 0 AND q.due_at < $1 LIMIT 51", BEFORE_TIME },
    { "stored message %1: message %2 has no content",
      "SELECT s.key, s.message_id, 0, 0, 0 FROM stored_message s"
      " LEFT JOIN content c ON c.message_id = s.message_id AND c.seq = 0"
      " WHERE c.message_id IS NULL LIMIT 51", NO_TIME },
    { "delivery %1: its domain %2 is not there",
      "SELECT q.id, q.domain_id, 0, 0, 0 FROM delivery q LEFT JOIN domain d"
      " ON d.id = q.domain_id WHERE d.id IS NULL LIMIT 51", NO_TIME },
    { "mailbox %1: %2 bytes and %3 messages are used",
      "SELECT u.mailbox_id, u.bytes, u.messages, 0, 0 FROM mailbox_usage u"
      " WHERE u.bytes < 0 OR u.messages < 0 LIMIT 51", NO_TIME },
    { "usage of mailbox %1: there is no such mailbox",
      "SELECT u.mailbox_id, 0, 0, 0, 0 FROM mailbox_usage u LEFT JOIN mailbox"
      " b ON b.id = u.mailbox_id AND b.deleted_at IS NULL"
      " WHERE b.id IS NULL LIMIT 51", NO_TIME },
    { "reservation %1: there is no mailbox %2",
      "SELECT r.id, r.mailbox_id, 0, 0, 0 FROM quota_reservation r"
      " LEFT JOIN mailbox b ON b.id = r.mailbox_id AND b.deleted_at IS NULL"
      " WHERE b.id IS NULL LIMIT 51", NO_TIME },
    { "reservation %1 of mailbox %2 (%3 bytes) is over an hour old",
      "SELECT r.id, r.mailbox_id, r.bytes, 0, 0 FROM quota_reservation r"
      " WHERE r.created_at < $1 LIMIT 51", BEFORE_TIME },
    { "mailbox %1: its domain %2 is not there",
      "SELECT b.id, b.domain_id, 0, 0, 0 FROM mailbox b LEFT JOIN domain d"
      " ON d.id = b.domain_id WHERE d.id IS NULL AND b.deleted_at IS NULL"
      " LIMIT 51", NO_TIME },
    { "domain %1 has no DKIM key",
      "SELECT d.name, 0, 0, 0, 0 FROM domain d LEFT JOIN dkim_key k"
      " ON k.domain_id = d.id AND k.retired_at IS NULL"
      " AND k.signs_since IS NOT NULL WHERE k.id IS NULL LIMIT 51", NO_TIME },
    { "what DNS says of domain %1: there is no such domain",
      "SELECT c.domain_id, 0, 0, 0, 0 FROM dns_check c LEFT JOIN domain d"
      " ON d.id = c.domain_id WHERE d.id IS NULL LIMIT 51", NO_TIME },
    { "domain %1: suppression table %2 has %3 rows, and counts %4",
      "SELECT x.domain_id, x.kind, CAST(SUM(x.n) AS BIGINT),"
      " CAST(SUM(x.t) AS BIGINT), 0 FROM (SELECT domain_id, 0 AS kind,"
      "  COUNT(*) AS n, 0 AS t FROM bounce GROUP BY domain_id UNION ALL"
      "  SELECT domain_id, 1, COUNT(*), 0 FROM unsubscribe GROUP BY domain_id"
      "  UNION ALL SELECT domain_id, 2, COUNT(*), 0 FROM complaint"
      "  GROUP BY domain_id UNION ALL SELECT domain_id, kind, 0, n FROM"
      "  suppression_total) x GROUP BY x.domain_id, x.kind"
      " HAVING SUM(x.n) <> SUM(x.t) LIMIT 51", NO_TIME },
    { "campaign %1: there is no domain %2",
      "SELECT c.public_id, c.domain_id, 0, 0, 0 FROM campaign c"
      " LEFT JOIN domain d ON d.id = c.domain_id WHERE d.id IS NULL"
      " LIMIT 51", NO_TIME },
    { "campaign %1: its id says nothing to events",
      "SELECT c.public_id, 0, 0, 0, 0 FROM campaign c"
      " LEFT JOIN campaign_name n ON n.domain_id = c.domain_id"
      " AND n.public_id = c.public_id AND n.campaign_id = c.id"
      " AND n.until = 9223372036854775807 WHERE n.campaign_id IS NULL"
      " LIMIT 51", NO_TIME },
    { "campaign %1: %2 events of kind %3 wait, and %4 are counted",
      "SELECT c.public_id, CAST(SUM(x.n) AS BIGINT), x.kind,"
      " CAST(SUM(x.t) AS BIGINT), 0 FROM (SELECT campaign_id, kind,"
      "  COUNT(*) AS n, 0 AS t FROM campaign_event"
      "  GROUP BY campaign_id, kind UNION ALL SELECT campaign_id, kind, 0,"
      "  waiting FROM campaign_count) x JOIN campaign c"
      " ON c.id = x.campaign_id GROUP BY c.public_id, x.campaign_id, x.kind"
      " HAVING SUM(x.n) <> SUM(x.t) LIMIT 51", NO_TIME },
    { "list %1: %2 events of kind %3 wait, and %4 are counted",
      "SELECT l.address, CAST(SUM(x.n) AS BIGINT), x.kind,"
      " CAST(SUM(x.t) AS BIGINT), 0 FROM (SELECT campaign_id, kind,"
      "  COUNT(*) AS n, 0 AS t FROM campaign_event"
      "  GROUP BY campaign_id, kind UNION ALL SELECT campaign_id, kind, 0,"
      "  waiting FROM campaign_count) x JOIN list l"
      " ON l.id = x.campaign_id GROUP BY l.address, x.campaign_id, x.kind"
      " HAVING SUM(x.n) <> SUM(x.t) LIMIT 51", NO_TIME },
    { "list %1: %2 members are there, %3 are counted",
      "SELECT l.address, COUNT(m.list_id), l.members, 0, 0 FROM list l"
      " LEFT JOIN list_member m ON m.list_id = l.id"
      " GROUP BY l.id, l.address, l.members"
      " HAVING COUNT(m.list_id) <> l.members LIMIT 51", NO_TIME },
    { "list %1: there is no domain %2 of its account",
      "SELECT l.address, l.domain_id, 0, 0, 0 FROM list l LEFT JOIN domain d"
      " ON d.id = l.domain_id AND d.account_id = l.account_id"
      " WHERE d.id IS NULL LIMIT 51", NO_TIME },
    { "members of list %1: there is no such list",
      "SELECT m.list_id, 0, 0, 0, 0 FROM list_member m"
      " LEFT JOIN list l ON l.id = m.list_id"
      " LEFT JOIN list_gone g ON g.list_id = m.list_id"
      " WHERE l.id IS NULL AND g.list_id IS NULL"
      " GROUP BY m.list_id LIMIT 51", NO_TIME },
    { "campaign %1: segment %2 of kind %3 has no texts",
      "SELECT s.campaign_id, s.seq, s.kind, 0, 0 FROM campaign_segment s"
      " LEFT JOIN campaign_column t ON t.campaign_id = s.campaign_id"
      " AND t.kind = s.kind AND t.name = 10 AND t.seq = s.seq"
      " WHERE t.seq IS NULL LIMIT 51", NO_TIME },
    { "API key %1: there is no account %2",
      "SELECT k.id, k.account_id, 0, 0, 0 FROM api_key k LEFT JOIN account a"
      " ON a.id = k.account_id WHERE a.id IS NULL LIMIT 51", NO_TIME },
    { "route %1: there is no account %2",
      "SELECT r.public_id, r.account_id, 0, 0, 0 FROM route r"
      " LEFT JOIN account a ON a.id = r.account_id WHERE a.id IS NULL"
      " LIMIT 51", NO_TIME },
    { "settings of domain %1: there is no such domain",
      "SELECT s.scope_id, 0, 0, 0, 0 FROM setting s LEFT JOIN domain d"
      " ON d.id = s.scope_id WHERE s.scope = 'domain' AND d.id IS NULL"
      " LIMIT 51", NO_TIME },
};
enum { NCHECKS = sizeof(checks) / sizeof(checks[0]) };

static const struct {
    const char *words, *sql;
} counts[] = {
    { "accounts", "SELECT COUNT(*) FROM account" },
    { "domains", "SELECT COUNT(*) FROM domain" },
    { "mailboxes", "SELECT COUNT(*) FROM mailbox WHERE deleted_at IS NULL" },
    { "mailboxes to be removed",
      "SELECT COUNT(*) FROM mailbox WHERE deleted_at IS NOT NULL" },
    { "routes", "SELECT COUNT(*) FROM route" },
    { "mailing lists", "SELECT COUNT(*) FROM list" },
    { "their members", "SELECT COUNT(*) FROM list_member" },
    { "stored messages", "SELECT COUNT(*) FROM stored_message" },
    { "messages", "SELECT COUNT(*) FROM message" },
    { "slices of content", "SELECT COUNT(*) FROM content" },
    { "queued deliveries", "SELECT COUNT(*) FROM delivery WHERE transport <> 4"
    },
    { "queued webhooks", "SELECT COUNT(*) FROM delivery WHERE transport = 4" },
    { "claimed", "SELECT COUNT(*) FROM delivery WHERE claimed_by <> 0" },
    { "dead letters", "SELECT COUNT(*) FROM dead_letter" },
    { "events", "SELECT COUNT(*) FROM event" },
    { "of them accepted", "SELECT COUNT(*) FROM event WHERE kind = 'accepted'"
    },
    { "of them delivered",
      "SELECT COUNT(*) FROM event WHERE kind = 'delivered'" },
    { "of them failed", "SELECT COUNT(*) FROM event WHERE kind = 'failed'" },
    { "of them dropped", "SELECT COUNT(*) FROM event WHERE kind = 'dropped'" },
    { "of them posted", "SELECT COUNT(*) FROM event WHERE kind = 'posted'" },
    { "open reservations", "SELECT COUNT(*) FROM quota_reservation" },
};
enum { NCOUNTS = sizeof(counts) / sizeof(counts[0]) };

/* The words with %1 .. %5 replaced by the row's columns. */
static const char *finding_words(const check_t *check, mg_stmt_t *stmt,
                                 apr_pool_t *p)
{
    const char *out = "", *from = check->words, *at;

    while ((at = strchr(from, '%')) != NULL) {
        const char *value = mg_stmt_text(stmt, at[1] - '1', p);

        out = apr_pstrcat(p, out,
                          apr_pstrmemdup(p, from, (apr_size_t)(at - from)),
                          value ? value : "", NULL);
        from = at + 2;
    }
    return apr_pstrcat(p, out, from, NULL);
}

static apr_status_t run_check(apr_array_header_t *findings,
                              const check_t *check, mg_db_t *db, apr_pool_t *p)
{
    apr_time_t before = mg_now() - HOUR;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int n = 0;

    if (check->needs == NO_TIME)
        rv = mg_db_query(&stmt, db, check->sql, "");
    else
        rv = mg_db_query(&stmt, db, check->sql, "i",
                         check->needs == BEFORE_ID ? mg_id_floor(before)
                                                   : (apr_int64_t)before);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        mg_fsck_finding_t *finding = apr_array_push(findings);

        if (++n > FINDINGS_MAX) {
            finding->problem = "... and more of this kind";
            mg_stmt_done(stmt);
            return APR_SUCCESS;
        }
        finding->problem = finding_words(check, stmt, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_fsck(apr_array_header_t **pfindings,
                     apr_array_header_t **pcounts, mg_db_t *db,
                     apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    *pfindings = apr_array_make(p, 4, sizeof(mg_fsck_finding_t));
    *pcounts = apr_array_make(p, NCOUNTS, sizeof(const char *));
    for (i = 0; rv == APR_SUCCESS && i < NCOUNTS; i++) {
        apr_int64_t n = 0;

        rv = mg_db_get_int(db, &n, counts[i].sql, "");
        APR_ARRAY_PUSH(*pcounts, const char *) = apr_psprintf(
            p, "%" APR_INT64_T_FMT " %s", n, counts[i].words);
    }
    for (i = 0; rv == APR_SUCCESS && i < NCHECKS; i++)
        rv = run_check(*pfindings, &checks[i], db, p);
    return rv;
}
