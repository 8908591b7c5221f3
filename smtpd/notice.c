/* notice.c - see notice.h. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_address.h"
#include "mg_dsn_request.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_log.h"
#include "mg_message.h"
#include "mg_sending.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "notice.h"

static int says(const char *notify, const char *word)
{
    return notify && strstr(notify, word) != NULL;
}

/* Who posts to a list is not told of each member. */
static int is_lists(const mg_message_t *message, apr_pool_t *ptemp)
{
    mg_sending_t sending;

    if (!message->options || !strstr(message->options, "\"list\""))
        return 0;
    mg_sending_read(&sending, message->options, ptemp);
    return sending.list != NULL;
}

int notice_is_wanted(const notice_about_t *a, apr_time_t now,
                     apr_pool_t *ptemp)
{
    const char *payload = a->payload ? a->payload : "";
    mg_dsn_rcpt_t rcpt = { NULL, NULL };

    if (!a->message || strcmp(a->message->method, "smtp") != 0
        || !*a->message->sender || is_lists(a->message, ptemp))
        return 0;
    if (*payload)
        mg_dsn_payload_read(&rcpt, payload, ptemp);
    switch (a->says) {
    case MG_DSN_SAYS_FAILED:
        return !rcpt.notify || says(rcpt.notify, "FAILURE");
    case MG_DSN_SAYS_DELAYED:
        return says(rcpt.notify, "DELAY")
               && now - a->created_at >= NOTICE_DELAY
               && !strstr(payload, "\"told\"");
    case MG_DSN_SAYS_DELIVERED:
    case MG_DSN_SAYS_RELAYED:
        return says(rcpt.notify, "SUCCESS");
    }
    return 0;
}

/* The payload with a mark that the sender knows of the delay. */
static const char *with_mark(const char *payload, apr_pool_t *p)
{
    const char *error;
    json_t *json = mg_json_parse(payload, strlen(payload), &error, p);

    if (!json_is_object(json))
        return NULL;
    json_object_set_new(json, "told", json_true());
    return mg_json_compact(json, p);
}

/* What came from outside may name anybody as its sender. Who is flooded by
 * what others send in his name gets some reports an hour, from each process.
 * A table of fixed size: another address in the same place begins anew. */
#define NOTED 1024
static struct {
    unsigned int hash;
    apr_time_t since;
    int n;
} noted[NOTED];

static int is_too_much(const char *to, apr_time_t now)
{
    apr_ssize_t len = APR_HASH_KEY_STRING;
    unsigned int hash = apr_hashfunc_default(to, &len);
    int i = (int)(hash % NOTED);

    if (noted[i].hash != hash
        || now - noted[i].since >= apr_time_from_sec(3600)) {
        noted[i].hash = hash;
        noted[i].since = now;
        noted[i].n = 0;
    }
    return ++noted[i].n > NOTICE_AN_HOUR;
}

/* Who gets it: as any mail to that address. */
static apr_status_t route(notice_t *n, mg_db_t *db, mg_routing_t *routing,
                          const char *to)
{
    mg_address_t *address;
    const char *rest;
    apr_status_t rv;

    rv = mg_address_parse_path(&address, &rest,
                               apr_pstrcat(n->pool, "<", to, ">", NULL), 0, 1,
                               n->pool);
    if (rv != APR_SUCCESS || !address->domain)
        return MG_EADDRESS;
    return mg_routing_recipient(n->message.envelopes, routing, db, address,
                                "", NULL, MG_ROUTING_OUTGOING,
                                n->message.account_id, n->pool);
}

static apr_status_t original(mg_dsn_write_t *d, mg_db_t *db,
                             const mg_message_t *m, apr_pool_t *p)
{
    const void *bytes = m->bytes;
    apr_status_t rv = APR_SUCCESS;

    d->original_len = m->bytes_len;
    if (!bytes)
        rv = mg_message_slice(&bytes, &d->original_len, db, m->id, 0, p);
    d->original = bytes;
    if (!APR_STATUS_IS_EOF(rv))
        return rv;
    d->original = "";
    d->original_len = 0;
    return APR_SUCCESS;
}

static void fill_message(notice_t *n, const mg_dsn_write_t *d,
                         const mg_message_t *about)
{
    mg_message_t *m = &n->message;

    m->account_id = about->account_id;
    m->domain_id = about->domain_id;
    m->direction = MG_OUTGOING;
    m->method = NOTICE_METHOD;
    m->message_id = d->message_id;
    m->sender = "";
    m->from_header = apr_pstrcat(n->pool, "MAILER-DAEMON@", d->hostname, NULL);
    m->created_at = d->now;
}

apr_status_t notice_make(notice_t **pnotice, mg_db_t *db,
                         mg_routing_t *routing, const char *hostname,
                         const notice_about_t *a, apr_pool_t *p)
{
    mg_dsn_rcpt_t rcpt = { NULL, NULL };
    mg_sending_t sending;
    mg_dsn_write_t d;
    apr_size_t len;
    apr_pool_t *own, *ptemp;
    notice_t *n;
    apr_status_t rv;

    *pnotice = NULL;
    if (a->message->direction == MG_INCOMING
        && is_too_much(a->message->sender, mg_now()))
        return MG_ELIMIT;
    apr_pool_create(&own, p);
    *pnotice = n = apr_pcalloc(own, sizeof(*n));
    n->pool = own;
    n->delivery_id = a->delivery_id;
    n->message.envelopes = apr_array_make(own, 1, sizeof(mg_envelope_t));
    if (a->payload && *a->payload)
        mg_dsn_payload_read(&rcpt, a->payload, own);
    mg_sending_read(&sending, a->message->options, own);
    memset(&d, 0, sizeof(d));
    d.says = a->says;
    d.hostname = hostname;
    d.to = a->message->sender;
    d.message_id = mg_id_message(hostname, own);
    d.recipient = a->recipient;
    d.orcpt = rcpt.orcpt;
    d.envid = sending.dsn_envid;
    d.reply = a->reply;
    d.mx = a->mx;
    d.arrived = a->created_at;
    d.now = mg_now();
    d.until = a->until;
    /* a batch of notices waits together: not with 256 KB each */
    apr_pool_create(&ptemp, own);
    rv = route(n, db, routing, a->message->sender);
    if (rv == APR_SUCCESS)
        rv = original(&d, db, a->message, ptemp);
    if (rv != APR_SUCCESS) {
        apr_pool_destroy(own);
        *pnotice = NULL;
        return rv;
    }
    d.whole = a->says == MG_DSN_SAYS_FAILED && sending.dsn_ret
              && strcmp(sending.dsn_ret, "FULL") == 0
              && a->message->size == (apr_int64_t)d.original_len;
    fill_message(n, &d, a->message);
    n->message.bytes = mg_dsn_write(&len, &d, own);
    apr_pool_destroy(ptemp);
    n->message.bytes_len = len;
    n->message.size = (apr_int64_t)len;
    n->message.subject = mg_dsn_subject(a->says);
    if (a->says == MG_DSN_SAYS_DELAYED)
        n->payload = with_mark(a->payload, own);
    return APR_SUCCESS;
}

apr_status_t notice_accept(mg_db_t *db, notice_t *n, apr_pool_t *ptemp)
{
    apr_status_t rv;
    int i;

    n->message.id = mg_id_next();
    for (i = 0; i < n->message.envelopes->nelts; i++)
        APR_ARRAY_IDX(n->message.envelopes, i, mg_envelope_t).id =
            mg_id_next();
    rv = mg_message_accept(db, &n->message, ptemp);
    if (rv == APR_SUCCESS && n->payload)
        rv = mg_db_exec(db, NULL, "UPDATE delivery SET payload = $1"
                        " WHERE id = $2", "ti", n->payload, n->delivery_id);
    return rv;
}
