/* sender_suppress.c - what was claimed for somebody who wants or takes no mail
 * of this domain is dropped (mg_suppression.h).
 *
 * One look for a whole batch of claims. Only outgoing mail by SMTP is meant:
 * what a route forwards for others, and what goes to mailboxes of ours, comes
 * through.
 */
#include <string.h>

#include "mg_log.h"
#include "mg_message.h"
#include "mg_sending.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_time.h"
#include "sender.h"

/* One claim, out of its array. */
static sender_entry_t *hold(sender_t *s, apr_array_header_t *claimed, int i,
                            apr_time_t lease_until)
{
    const mg_delivery_t *d = APR_ARRAY_IDX(claimed, i, mg_delivery_t *);
    sender_entry_t *e = sender_hold(s, d, lease_until);

    APR_RING_ELEM_INIT(e, link);
    APR_ARRAY_IDX(claimed, i, mg_delivery_t *) = NULL;
    return e;
}

/* Nobody is written to without having been looked for. */
static void give_rest_back(sender_t *s, apr_array_header_t *claimed,
                           apr_time_t lease_until)
{
    int i;

    for (i = 0; i < claimed->nelts; i++)
        if (APR_ARRAY_IDX(claimed, i, mg_delivery_t *))
            sender_released(s, hold(s, claimed, i, lease_until), mg_now());
}

static int ask_of(mg_suppression_ask_t *asks, int *indexes,
                  const apr_array_header_t *claimed)
{
    int i, n = 0;

    for (i = 0; i < claimed->nelts; i++) {
        const mg_delivery_t *d = APR_ARRAY_IDX(claimed, i, mg_delivery_t *);

        if (d->transport != MG_TRANSPORT_SMTP)
            continue;
        asks[n].domain_id = d->domain_id;
        asks[n].address = d->recipient;
        indexes[n++] = i;
    }
    return n;
}

static int is_sent_for_us(const mg_message_t *m, apr_pool_t *p)
{
    mg_sending_t sending;

    if (!m || m->direction != MG_OUTGOING
        || strcmp(m->method, NOTICE_METHOD) == 0)
        return 0; /* a report of ours is nobody's mailing */
    mg_sending_read(&sending, m->options, p);
    return !sending.testmode;
}

void sender_suppress(sender_t *s, apr_array_header_t *claimed,
                     apr_time_t lease_until, apr_pool_t *p)
{
    int n = claimed->nelts, i, code;
    mg_suppression_ask_t *asks = apr_palloc(p, sizeof(*asks) * (size_t)(n + 1));
    int *indexes = apr_palloc(p, sizeof(*indexes) * (size_t)(n + 1));
    apr_array_header_t *hits;
    mg_message_t *m = NULL;
    apr_int64_t read_id = 0;
    const char *why;
    apr_status_t rv;

    n = ask_of(asks, indexes, claimed);
    rv = mg_suppression_match(&hits, s->db, asks, n, p);
    for (i = 0; rv == APR_SUCCESS && i < hits->nelts; i++) {
        const mg_suppression_hit_t *hit =
            &APR_ARRAY_IDX(hits, i, mg_suppression_hit_t);
        int at = indexes[hit->index];
        const mg_delivery_t *d = APR_ARRAY_IDX(claimed, at, mg_delivery_t *);

        if (!d)
            continue; /* dropped for another reason already */
        if (d->message_id != read_id) {
            rv = mg_message_get(&m, s->db, d->message_id, p);
            if (rv != APR_SUCCESS && !APR_STATUS_IS_ENOENT(rv))
                break;
            rv = APR_SUCCESS;
            read_id = d->message_id;
        }
        if (is_sent_for_us(m, p)
            && mg_suppression_stops(&code, &why, hit, m->options, p))
            sender_dropped(s, hold(s, claimed, at, lease_until), code, why,
                           SENDER_HARDFAIL);
    }
    if (!sender_store_works(s, rv))
        give_rest_back(s, claimed, lease_until);
}
