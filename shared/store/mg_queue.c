/* mg_queue.c - claim what is due, write what became of it. */
#include <stdlib.h>
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_uri.h>

#include "mg_batch.h"
#include "mg_fault.h"
#include "mg_queue.h"
#include "mg_queue_row.h"
#include "mg_queue_sql.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define TRANSPORTS_MAX 8
/* Domains a round looks at: each gets limit / domains rows, one at least. */
#define DOMAINS_A_ROUND 64

struct mg_claimer_t {
    apr_int64_t worker_id;
    apr_interval_time_t lease;
    int ntransports;
    int first;          /* the transport that comes first next time */
    mg_claim_share_fn *share_of;
    void *share_baton;
    int more;           /* mg_claimer_more() */
    apr_time_t doubt;   /* until when the rows of a claim are leased whose
                         * COMMIT was not answered; 0: there is none */
    struct {
        mg_transport_kind_t kind;
        apr_int64_t domain_id;   /* where the last round ended */
    } transports[TRANSPORTS_MAX];
};

mg_claimer_t *mg_claimer_create(apr_int64_t worker_id,
                                const mg_transport_kind_t *transports,
                                int ntransports, apr_interval_time_t lease,
                                apr_pool_t *p)
{
    mg_claimer_t *claimer = apr_pcalloc(p, sizeof(*claimer));
    int i;

    claimer->worker_id = worker_id;
    claimer->lease = lease;
    for (i = 0; i < ntransports && i < TRANSPORTS_MAX; i++)
        claimer->transports[i].kind = transports[i];
    claimer->ntransports = i;
    return claimer;
}

void mg_claimer_shares(mg_claimer_t *claimer, mg_claim_share_fn *share_of,
                       void *baton)
{
    claimer->share_of = share_of;
    claimer->share_baton = baton;
}

int mg_claimer_more(const mg_claimer_t *claimer)
{
    return claimer->more;
}

mg_delivery_t *mg_queue_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_delivery_t *d = apr_pcalloc(p, sizeof(*d));

    d->id = mg_stmt_int(stmt, 0);
    d->message_id = mg_stmt_int(stmt, 1);
    d->account_id = mg_stmt_int(stmt, 2);
    d->domain_id = mg_stmt_int(stmt, 3);
    d->transport = (mg_transport_kind_t)mg_stmt_int(stmt, 4);
    d->recipient = mg_stmt_text(stmt, 5, p);
    d->recipient_as_given = mg_stmt_text(stmt, 6, p);
    d->variables = mg_stmt_text(stmt, 7, p);
    d->dest = mg_stmt_text(stmt, 8, p);
    d->target = mg_stmt_text(stmt, 9, p);
    d->payload = mg_stmt_text(stmt, 10, p);
    d->last_reply = mg_stmt_text(stmt, 11, p);
    d->due_at = mg_stmt_int(stmt, 12);
    d->created_at = mg_stmt_int(stmt, 13);
    d->expires_at = mg_stmt_int(stmt, 14);
    d->claimed_by = mg_stmt_int(stmt, 15);
    d->claim_no = mg_stmt_int(stmt, 16);
    d->attempts = (int)mg_stmt_int(stmt, 17);
    d->hold = (int)mg_stmt_int(stmt, 18);
    return d;
}

/* --- claiming --- */

typedef struct {
    apr_int64_t domain_id;
    int share;
    int room;           /* rows it may have at most */
    int slice, got;     /* asked for now, and what came */
} turn_t;

typedef struct {
    mg_db_t *db;
    mg_claimer_t *claimer;
    mg_transport_kind_t transport;
    apr_time_t now;
    turn_t turns[DOMAINS_A_ROUND];
    int ndomains;
    apr_int64_t *plast; /* the claimer's: the next round begins behind it */
    int has_more;       /* its share was used up */
    int cut;            /* there may be domains behind */
    apr_int64_t last_seen;  /* with or without room; 0: none */
    apr_array_header_t *claimed;
    apr_pool_t *pool;
} round_t;

/* A domain without room has no turn. */
static void add_turn(round_t *r, apr_int64_t domain_id)
{
    const mg_claimer_t *c = r->claimer;
    turn_t *t = &r->turns[r->ndomains];

    memset(t, 0, sizeof(*t));
    t->domain_id = domain_id;
    t->share = 1;
    t->room = APR_INT32_MAX;
    if (c->share_of)
        c->share_of(&t->share, &t->room, domain_id, c->share_baton);
    if (t->room > 0)
        r->ndomains++;
}

/* Domains with due rows behind after, appended. */
static apr_status_t find_domains(round_t *r, apr_int64_t after, int limit)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i, seen = 0;

    rv = mg_db_query(&stmt, r->db, QUEUE_DUE_DOMAINS, "iiii",
                     (apr_int64_t)r->transport, after, (apr_int64_t)r->now,
                     (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        apr_int64_t id = mg_stmt_int(stmt, 0);

        for (i = 0; i < r->ndomains && r->turns[i].domain_id != id; i++)
            ;
        if (i < r->ndomains || r->ndomains == DOMAINS_A_ROUND) {
            mg_stmt_done(stmt); /* once round */
            return APR_SUCCESS;
        }
        r->last_seen = id;
        seen++;
        add_turn(r, id);
    }
    r->cut = seen >= limit;
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t take_rows(round_t *r, mg_stmt_t *stmt)
{
    apr_status_t rv;

    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(r->claimed, mg_delivery_t *) =
            mg_queue_row(stmt, r->pool);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static const char *id_array(const apr_int64_t *ids, int n, apr_pool_t *p)
{
    char *text = apr_palloc(p, (apr_size_t)n * 21 + 3), *t = text;
    int i;

    *t++ = '{';
    for (i = 0; i < n; i++)
        t += apr_snprintf(t, 22, i ? ",%" APR_INT64_T_FMT
                                   : "%" APR_INT64_T_FMT, ids[i]);
    *t++ = '}';
    *t = '\0';
    return text;
}

/* Up to its slice of each of these domains. */
static apr_status_t claim_slices(round_t *r, const turn_t *turns, int n)
{
    apr_int64_t until = r->now + r->claimer->lease;
    apr_int64_t ids[DOMAINS_A_ROUND], slices[DOMAINS_A_ROUND];
    apr_status_t rv = APR_SUCCESS;
    mg_stmt_t *stmt;
    int i;

    for (i = 0; i < n; i++) {
        ids[i] = turns[i].domain_id;
        slices[i] = turns[i].slice;
    }
    if (mg_db_kind(r->db) == MG_DB_PGSQL) {
        rv = mg_db_query(&stmt, r->db, QUEUE_CLAIM_PGSQL, "iitiit", until,
                         r->claimer->worker_id, id_array(ids, n, r->pool),
                         (apr_int64_t)r->transport, (apr_int64_t)r->now,
                         id_array(slices, n, r->pool));
        return rv == APR_SUCCESS ? take_rows(r, stmt) : rv;
    }
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        rv = mg_db_query(&stmt, r->db, QUEUE_CLAIM_SQLITE, "iiiiii", until,
                         r->claimer->worker_id, (apr_int64_t)r->transport,
                         ids[i], (apr_int64_t)r->now, slices[i]);
        if (rv == APR_SUCCESS)
            rv = take_rows(r, stmt);
    }
    return rv;
}

/* Those that had as many rows as they were asked for and may have more, of
 * what was claimed from first on. */
static int keep_full(turn_t *turns, int n, const round_t *r, int first)
{
    int i, j, kept = 0;

    for (i = 0; i < n; i++) {
        turn_t *t = &turns[i];

        for (t->got = 0, j = first; j < r->claimed->nelts; j++)
            t->got += APR_ARRAY_IDX(r->claimed, j, mg_delivery_t *)
                          ->domain_id == t->domain_id;
        t->room -= t->got;
        if (t->got >= t->slice && t->room > 0)
            turns[kept++] = *t;
    }
    return kept;
}

/* By their shares, one row at least, limit in all. @return how many of the
 * domains are asked */
static int cut_slices(turn_t *turns, int n, int limit)
{
    int i, left = limit;
    apr_int64_t shares = 0;

    for (i = 0; i < n; i++)
        shares += turns[i].share;
    for (i = 0; i < n && left > 0; i++) {
        apr_int64_t slice = (apr_int64_t)limit * turns[i].share / shares;

        slice = slice < 1 ? 1 : slice > left ? left : slice;
        turns[i].slice = slice < turns[i].room ? (int)slice : turns[i].room;
        left -= turns[i].slice;
    }
    return i;
}

/* Fair shares first; what is left over goes to the domains that have more.
 * Where there are more domains than rows, the next round begins with the first
 * one that got none. */
static apr_status_t claim_round(round_t *r, int limit)
{
    turn_t turns[DOMAINS_A_ROUND];
    int i, n = 0, all, first, end = r->claimed->nelts + limit;
    apr_status_t rv;

    for (i = 0; i < r->ndomains; i++)
        if (r->turns[i].room > 0)
            turns[n++] = r->turns[i];
    for (all = n; n > 0 && r->claimed->nelts < end; all = 0) {
        n = cut_slices(turns, n, end - r->claimed->nelts);
        if (n < all)
            *r->plast = turns[n - 1].domain_id;
        first = r->claimed->nelts;
        rv = claim_slices(r, turns, n);
        if (rv != APR_SUCCESS)
            return rv;
        n = keep_full(turns, n, r, first);
    }
    return APR_SUCCESS;
}

static apr_status_t look_round(round_t *r, mg_db_t *db, mg_claimer_t *claimer,
                               int which, int limit)
{
    apr_int64_t after = claimer->transports[which].domain_id;
    int want = limit < DOMAINS_A_ROUND ? limit : DOMAINS_A_ROUND;
    apr_status_t rv;

    r->db = db;
    r->claimer = claimer;
    r->transport = claimer->transports[which].kind;
    r->plast = &claimer->transports[which].domain_id;
    r->ndomains = 0;
    r->last_seen = 0;
    rv = find_domains(r, after, want);
    if (rv == APR_SUCCESS && !r->cut && r->ndomains < want && after > 0)
        rv = find_domains(r, -1, want - r->ndomains);
    if (rv == APR_SUCCESS && r->last_seen)
        *r->plast = r->last_seen;
    return rv;
}

/* Transports share the limit evenly; what one leaves over is the others'. */
static apr_status_t claim_all(round_t *rounds, int n, int limit)
{
    apr_array_header_t *claimed = rounds[0].claimed;
    apr_status_t rv = APR_SUCCESS;
    int i, before, share, active = 0;

    for (i = 0; i < n; i++)
        active += rounds[i].ndomains > 0;
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        if (rounds[i].ndomains == 0)
            continue;
        share = (limit - claimed->nelts) / active--;
        before = claimed->nelts;
        if (share > 0)
            rv = claim_round(&rounds[i], share);
        rounds[i].has_more = claimed->nelts - before == share;
    }
    for (i = 0; rv == APR_SUCCESS && i < n; i++)
        if (rounds[i].has_more && claimed->nelts < limit)
            rv = claim_round(&rounds[i], limit - claimed->nelts);
    return rv;
}

/* Rows that are ours perhaps, without our knowing: they would wait for the
 * end of their lease. The lease's end is that claim's alone. */
static apr_status_t give_back_doubtful(mg_db_t *db, mg_claimer_t *claimer,
                                       apr_time_t now)
{
    apr_status_t rv;
    int own;

    if (!claimer->doubt)
        return APR_SUCCESS;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, NULL,
                    "UPDATE delivery SET due_at = $1, claimed_by = 0"
                    " WHERE claimed_by = $2 AND due_at = $3",
                    "iii", (apr_int64_t)now, claimer->worker_id,
                    (apr_int64_t)claimer->doubt);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        claimer->doubt = 0;
    return rv;
}

apr_status_t mg_queue_claim(apr_array_header_t **pclaimed, mg_db_t *db,
                            mg_claimer_t *claimer, int limit, apr_pool_t *p)
{
    round_t *rounds = apr_pcalloc(p, sizeof(*rounds) * TRANSPORTS_MAX);
    int i, n = claimer->ntransports, found = 0, own;
    apr_time_t now = mg_now();
    apr_status_t rv;

    *pclaimed = apr_array_make(p, limit > 64 ? 64 : limit,
                               sizeof(mg_delivery_t *));
    if (limit <= 0 || n == 0)
        return APR_SUCCESS;
    claimer->more = 0;
    rv = give_back_doubtful(db, claimer, now);
    if (rv != APR_SUCCESS)
        return rv;
    /* looking takes no write lock: mostly there is nothing */
    for (i = 0; i < n; i++) {
        rounds[i].now = now;
        rounds[i].claimed = *pclaimed;
        rounds[i].pool = p;
        rv = look_round(&rounds[i], db, claimer, (claimer->first + i) % n,
                        limit);
        if (rv != APR_SUCCESS)
            return rv;
        found += rounds[i].ndomains;
        claimer->more |= rounds[i].cut;
    }
    claimer->first = (claimer->first + 1) % n;
    if (!found)
        return APR_SUCCESS;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    if (own)
        mg_tx_lazy(db); /* a claim that is lost is due again */
    rv = mg_tx_leave(db, own, claim_all(rounds, n, limit));
    if (rv == APR_SUCCESS)
        rv = MG_FAULT("queue.claim.after");
    if (rv != APR_SUCCESS) {
        claimer->doubt = now + claimer->lease;
        apr_array_clear(*pclaimed);
    }
    return rv;
}

apr_status_t mg_queue_next_due(apr_time_t *pdue, mg_db_t *db,
                               const mg_claimer_t *claimer)
{
    apr_status_t rv;
    int i;

    *pdue = 0;
    for (i = 0; i < claimer->ntransports; i++) {
        apr_int64_t due = 0;

        rv = mg_db_get_int(db, &due, QUEUE_NEXT_DUE, "i",
                           (apr_int64_t)claimer->transports[i].kind);
        if (rv != APR_SUCCESS && rv != APR_ENOENT)
            return rv;
        if (due && (!*pdue || due < *pdue))
            *pdue = due;
    }
    return APR_SUCCESS;
}

/* --- results --- */

/* One row must change: else the claim was lost to another. */

apr_status_t mg_queue_settle(mg_db_t *db, const mg_delivery_t *delivery)
{
    return mg_db_exec_one(
        db, MG_ELEASE, "DELETE FROM delivery WHERE id = $1 AND claim_no = $2",
        "ii", delivery->id, delivery->claim_no);
}

apr_status_t mg_queue_defer(mg_db_t *db, const mg_delivery_t *delivery,
                            const char *reply, apr_time_t due_at)
{
    return mg_db_exec_one(
        db, MG_ELEASE,
        "UPDATE delivery SET due_at = $1, claimed_by = 0,"
        " attempts = attempts + 1, last_reply = $2"
        " WHERE id = $3 AND claim_no = $4",
        "itii", (apr_int64_t)due_at, reply, delivery->id, delivery->claim_no);
}

apr_status_t mg_queue_release(mg_db_t *db, const mg_delivery_t *delivery,
                              apr_time_t due_at)
{
    return mg_db_exec_one(
        db, MG_ELEASE,
        "UPDATE delivery SET due_at = $1, claimed_by = 0"
        " WHERE id = $2 AND claim_no = $3",
        "iii", (apr_int64_t)due_at, delivery->id, delivery->claim_no);
}

apr_status_t mg_queue_bury(mg_db_t *db, const mg_delivery_t *delivery,
                           const char *reply)
{
    apr_status_t rv = mg_queue_settle(db, delivery);
    apr_pool_t *p;

    if (rv != APR_SUCCESS)
        return rv;
    apr_pool_create(&p, NULL);
    rv = mg_db_exec(
        db, NULL,
        "INSERT INTO dead_letter (id, message_id, domain_id, transport,"
        " recipient, target, payload, attempts, last_reply, created_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        "iiiitttiti", delivery->id, delivery->message_id, delivery->domain_id,
        (apr_int64_t)delivery->transport, delivery->recipient,
        delivery->target ? delivery->target : "",
        delivery->payload ? delivery->payload : "",
        (apr_int64_t)delivery->attempts + 1,
        reply ? mg_text_clean(reply, strlen(reply), p) : NULL,
        (apr_int64_t)mg_now());
    apr_pool_destroy(p);
    return rv;
}

static int by_id(const void *a, const void *b)
{
    apr_int64_t x = (*(mg_delivery_t *const *)a)->id;
    apr_int64_t y = (*(mg_delivery_t *const *)b)->id;

    return (x > y) - (x < y);
}

/* The ids that are still ours, as the store returns them. */
static apr_status_t renew_rows(apr_hash_t *ours, mg_db_t *db,
                               mg_delivery_t **list, int n, apr_time_t until,
                               apr_pool_t *p)
{
    apr_int64_t *ids = apr_palloc(p, sizeof(*ids) * (apr_size_t)n);
    apr_int64_t *nos = apr_palloc(p, sizeof(*nos) * (apr_size_t)n);
    apr_status_t rv = APR_SUCCESS;
    mg_stmt_t *stmt;
    int i, steps = mg_db_kind(db) == MG_DB_PGSQL ? 1 : n;

    for (i = 0; i < n; i++) {
        ids[i] = list[i]->id;
        nos[i] = list[i]->claim_no;
    }
    for (i = 0; rv == APR_SUCCESS && i < steps; i++) {
        if (mg_db_kind(db) == MG_DB_PGSQL)
            rv = mg_db_query(&stmt, db, QUEUE_RENEW_PGSQL, "itt",
                             (apr_int64_t)until, id_array(ids, n, p),
                             id_array(nos, n, p));
        else
            rv = mg_db_query(&stmt, db, QUEUE_RENEW_SQLITE, "iii",
                             (apr_int64_t)until, ids[i], nos[i]);
        while (rv == APR_SUCCESS &&
               (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
            apr_int64_t id = mg_stmt_int(stmt, 0);

            apr_hash_set(ours, apr_pmemdup(p, &id, sizeof(id)), sizeof(id),
                         "");
        }
        if (rv == APR_EOF)
            rv = APR_SUCCESS;
    }
    return rv;
}

apr_status_t mg_queue_renew(int *plost, mg_db_t *db,
                            apr_array_header_t *deliveries,
                            apr_interval_time_t lease)
{
    apr_time_t until = mg_now() + lease;
    mg_delivery_t **list;
    int i, own, n = deliveries->nelts;
    apr_hash_t *ours;
    apr_pool_t *p;
    apr_status_t rv;

    *plost = 0;
    if (n == 0)
        return APR_SUCCESS;
    apr_pool_create(&p, NULL);
    ours = apr_hash_make(p);
    /* in the order of ids: two workers never wait for each other crosswise */
    list = apr_pmemdup(p, deliveries->elts, sizeof(*list) * (apr_size_t)n);
    qsort(list, (size_t)n, sizeof(*list), by_id);
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (own)
        mg_tx_lazy(db);
    if (rv == APR_SUCCESS)
        rv = mg_tx_leave(db, own, renew_rows(ours, db, list, n, until, p));
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        if (apr_hash_get(ours, &list[i]->id, sizeof(list[i]->id))) {
            list[i]->due_at = until;
            continue;
        }
        list[i]->claim_no = -1;
        *plost += 1;
    }
    apr_pool_destroy(p);
    return rv;
}

/* --- hooks --- */

apr_status_t mg_queue_add_hook(mg_db_t *db, const mg_delivery_t *hook)
{
    mg_batch_t *batch = mg_batch_get(db);
    apr_pool_t *p;
    apr_status_t rv;

    apr_pool_create(&p, NULL);
    rv = mg_db_exec(
        db, NULL,
        "INSERT INTO delivery (id, message_id, account_id, domain_id,"
        " transport, recipient, recipient_as_given, variables, dest, target,"
        " payload, due_at, created_at, expires_at) VALUES ($1, $2, $3, $4, $5,"
        " $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        "iiiiittttttiii", hook->id, hook->message_id, hook->account_id,
        hook->domain_id, (apr_int64_t)MG_TRANSPORT_HOOK,
        mg_text_clean(hook->recipient, strlen(hook->recipient), p),
        hook->recipient_as_given
            ? mg_text_clean(hook->recipient_as_given,
                            strlen(hook->recipient_as_given), p)
            : "",
        hook->variables && *hook->variables ? hook->variables : "{}",
        hook->dest, hook->target, hook->payload, (apr_int64_t)hook->due_at,
        (apr_int64_t)hook->created_at, (apr_int64_t)hook->expires_at);
    apr_pool_destroy(p);
    if (rv == APR_SUCCESS && batch)
        mg_batch_ring(batch, MG_ROLE_NOTIFIER);
    return rv;
}

char *mg_queue_url_dest(const char *url, apr_pool_t *p)
{
    apr_uri_t uri;
    apr_int64_t port;

    if (apr_uri_parse(p, url, &uri) != APR_SUCCESS || !uri.scheme ||
        !uri.hostname || !*uri.hostname)
        return NULL;
    if (!strcasecmp(uri.scheme, "http"))
        port = 80;
    else if (!strcasecmp(uri.scheme, "https"))
        port = 443;
    else
        return NULL;
    if (uri.port_str && *uri.port_str)
        port = apr_atoi64(uri.port_str); /* uri.port has 16 bits only */
    if (port <= 0 || port > 65535)
        return NULL;
    return apr_psprintf(p, strchr(uri.hostname, ':') ? "[%s]:%d" : "%s:%d",
                        mg_text_lower(uri.hostname, p), (int)port);
}
