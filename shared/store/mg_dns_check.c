/* mg_dns_check.c - see mg_dns_check.h. */
#include <string.h>
#include <apr_strings.h>

#include "mg_dkim_key.h"
#include "mg_dns_check.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define SEEN_MAX 1000          /* a record may have 64 KB */

apr_status_t mg_dns_seen(apr_array_header_t **plist, mg_db_t *db,
                         apr_int64_t domain_id, apr_pool_t *p)
{
    mg_dns_seen_t *seen;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 8, sizeof(mg_dns_seen_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT record, valid, seen, checked_at FROM dns_check"
                     " WHERE domain_id = $1 ORDER BY record", "i", domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        seen = apr_array_push(*plist);
        seen->record = mg_stmt_text(stmt, 0, p);
        seen->valid = mg_stmt_text(stmt, 1, p);
        seen->seen = mg_stmt_text(stmt, 2, p);
        seen->checked_at = mg_stmt_int(stmt, 3);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_dns_ask(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "UPDATE domain SET dns_due = 0 WHERE id = $1", "i",
                    domain_id);
    return rv == APR_SUCCESS && n == 0 ? APR_ENOENT : rv;
}

apr_status_t mg_dns_checked(apr_time_t *pat, mg_db_t *db,
                            apr_int64_t domain_id)
{
    apr_int64_t at = 0;
    apr_status_t rv;

    rv = mg_db_get_int(db, &at, "SELECT dns_checked FROM domain WHERE id = $1",
                       "i", domain_id);
    *pat = at;
    return rv;
}

/* --- claiming --- */

apr_status_t mg_dns_claim(apr_array_header_t **plist, mg_db_t *db, int limit,
                          apr_interval_time_t lease, apr_pool_t *p)
{
    apr_array_header_t *due = apr_array_make(p, 8, sizeof(mg_dns_due_t));
    apr_time_t now = mg_now(), until = now + lease;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i, own;

    *plist = apr_array_make(p, 8, sizeof(mg_dns_due_t));
    rv = mg_db_query(&stmt, db, "SELECT id, dns_due FROM domain"
                     " WHERE dns_due <= $1 ORDER BY dns_due LIMIT $2", "ii",
                     (apr_int64_t)now, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        mg_dns_due_t *d = apr_array_push(due);

        d->domain_id = mg_stmt_int(stmt, 0);
        d->claimed = mg_stmt_int(stmt, 1);
    }
    if (rv != APR_EOF || due->nelts == 0)
        return rv == APR_EOF ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; rv == APR_SUCCESS && i < due->nelts; i++) {
        mg_dns_due_t *d = &APR_ARRAY_IDX(due, i, mg_dns_due_t);
        apr_int64_t n = 0;

        rv = mg_db_exec(db, &n, "UPDATE domain SET dns_due = $1"
                        " WHERE id = $2 AND dns_due = $3", "iii",
                        (apr_int64_t)until, d->domain_id,
                        (apr_int64_t)d->claimed);
        if (rv != APR_SUCCESS || n == 0)
            continue; /* another keeper was quicker */
        d->claimed = until;
        APR_ARRAY_PUSH(*plist, mg_dns_due_t) = *d;
    }
    return mg_tx_leave(db, own, rv);
}

/* --- storing --- */

typedef struct {
    mg_db_t *db;
    apr_int64_t domain_id;
    apr_pool_t *p;
    const char *words;         /* what is new */
    int changed;
} store_t;

static void say(store_t *s, const char *words)
{
    s->words = s->words ? apr_pstrcat(s->p, s->words, ", ", words, NULL)
                        : words;
    s->changed = 1;
}

static const char *valid_of(mg_dns_verdict_t verdict)
{
    return verdict == MG_DNS_VALID    ? "valid"
           : verdict == MG_DNS_FAILED ? "unknown"
                                      : "invalid";
}

static apr_status_t store_one(store_t *s, const mg_dns_result_t *r,
                              apr_time_t began)
{
    const char *seen = r->seen ? r->seen : "";
    apr_size_t len = strlen(seen);

    if (len > SEEN_MAX)
        len = SEEN_MAX;
    return mg_db_exec(s->db, NULL,
                      "INSERT INTO dns_check (domain_id, record, valid, seen,"
                      " checked_at) VALUES ($1, $2, $3, $4, $5)"
                      " ON CONFLICT (domain_id, record) DO UPDATE SET"
                      " valid = excluded.valid, seen = excluded.seen,"
                      " checked_at = excluded.checked_at", "ittti",
                      s->domain_id, r->record, valid_of(r->verdict),
                      mg_text_clean(seen, len, s->p), (apr_int64_t)began);
}

static mg_dns_verdict_t verdict_of(const apr_array_header_t *results,
                                   const char *record)
{
    int i;

    for (i = 0; i < results->nelts; i++) {
        const mg_dns_result_t *r = &APR_ARRAY_IDX(results, i,
                                                  mg_dns_result_t);

        if (strcmp(r->record, record) == 0)
            return r->verdict;
    }
    return MG_DNS_FAILED;
}

static apr_status_t store_mx(store_t *s, mg_dns_verdict_t verdict)
{
    const char *mx = verdict == MG_DNS_VALID   ? "ours"
                     : verdict == MG_DNS_WRONG ? "elsewhere"
                                               : "";
    apr_int64_t n = 0;
    apr_status_t rv;

    if (verdict == MG_DNS_FAILED)
        return APR_SUCCESS;
    rv = mg_db_exec(s->db, &n, "UPDATE domain SET mx = $1 WHERE id = $2"
                    " AND mx <> $1", "ti", mx, s->domain_id);
    if (rv == APR_SUCCESS && n > 0)
        say(s, apr_pstrcat(s->p, "mx ", *mx ? mx : "missing", NULL));
    return rv;
}

/* Whether links may lead to the tracking host: a row of its own, "tracking",
 * which no answer leaves as it is. */
static apr_status_t store_tracking(store_t *s, mg_dns_verdict_t verdict,
                                   apr_time_t began)
{
    mg_dns_result_t row = { "tracking", verdict, "" };
    apr_int64_t was = 0;
    apr_status_t rv;

    if (verdict == MG_DNS_FAILED)
        return APR_SUCCESS;
    rv = mg_db_get_int(s->db, &was, "SELECT COUNT(*) FROM dns_check"
                       " WHERE domain_id = $1 AND record = 'tracking'"
                       " AND valid = 'valid'", "i", s->domain_id);
    if (rv != APR_SUCCESS || was == (verdict == MG_DNS_VALID))
        return rv;
    say(s, was ? "tracking host missing" : "tracking host ours");
    return store_one(s, &row, began);
}

/* Keys whose records are there begin to sign; *psigning: one that signs is
 * valid. */
static apr_status_t store_keys(store_t *s, const apr_array_header_t *results,
                               int *psigning)
{
    apr_array_header_t *keys;
    apr_status_t rv;
    int i, n;

    *psigning = 0;
    rv = mg_domain_dkim(&keys, s->db, s->domain_id, s->p);
    for (i = 0; rv == APR_SUCCESS && i < keys->nelts; i++) {
        const mg_dkim_public_t *key = &APR_ARRAY_IDX(keys, i,
                                                     mg_dkim_public_t);
        const char *record = apr_pstrcat(s->p, "dkim.", key->selector, NULL);

        if (key->state == MG_DKIM_RETIRED
            || verdict_of(results, record) != MG_DNS_VALID)
            continue;
        *psigning = 1;
        if (key->state == MG_DKIM_SIGNS)
            continue;
        rv = mg_dkim_switch(&n, s->db, s->domain_id, key->selector, s->p);
        say(s, apr_pstrcat(s->p, key->selector, " signs", NULL));
    }
    return rv;
}

static apr_status_t store_state(store_t *s)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(s->db, &n, "UPDATE domain SET state = 'active'"
                    " WHERE id = $1 AND state = 'unverified'", "i",
                    s->domain_id);
    if (rv == APR_SUCCESS && n > 0)
        say(s, "active");
    return rv;
}

static apr_status_t store_all(store_t *s, const apr_array_header_t *results,
                              apr_time_t began)
{
    apr_status_t rv = APR_SUCCESS;
    int i, signing;

    for (i = 0; rv == APR_SUCCESS && i < results->nelts; i++)
        rv = store_one(s, &APR_ARRAY_IDX(results, i, mg_dns_result_t), began);
    if (rv == APR_SUCCESS)
        rv = store_tracking(s, verdict_of(results, "cname"), began);
    if (rv == APR_SUCCESS)
        rv = store_mx(s, verdict_of(results, "mx"));
    if (rv == APR_SUCCESS)
        rv = store_keys(s, results, &signing);
    if (rv == APR_SUCCESS && signing
        && verdict_of(results, "spf") == MG_DNS_VALID)
        rv = store_state(s);
    return rv;
}

apr_status_t mg_dns_store(const char **pwords, mg_db_t *db,
                          const mg_dns_due_t *due,
                          const apr_array_header_t *results,
                          apr_time_t began, apr_time_t next_due,
                          apr_pool_t *p)
{
    store_t s = { db, due->domain_id, p, NULL, 0 };
    apr_int64_t ours = 0;
    apr_status_t rv;
    int own;

    *pwords = NULL;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &ours, "UPDATE domain SET dns_checked = $1"
                    " WHERE id = $2 AND dns_due = $3", "iii",
                    (apr_int64_t)began, due->domain_id,
                    (apr_int64_t)due->claimed);
    if (rv == APR_SUCCESS && ours)
        rv = store_all(&s, results, began);
    if (rv == APR_SUCCESS && ours) /* last: a switch of keys sets it, too */
        rv = mg_db_exec(db, NULL, "UPDATE domain SET dns_due = $1,"
                        " revision = revision + $2 WHERE id = $3", "iii",
                        (apr_int64_t)next_due, (apr_int64_t)s.changed,
                        due->domain_id);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pwords = s.words;
    return rv;
}
