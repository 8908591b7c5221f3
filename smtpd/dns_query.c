/* dns_query.c - one question by c-ares, and whether its answer was validated.
 *
 * We do not validate DNSSEC ourselves: a resolver that does says so by the AD
 * bit (RFC 4035 3.2.3), and says it to those who set it in the question (RFC
 * 6840 5.7). It is believed from resolvers that are trusted only (dns_create),
 * for whoever can change a packet can set a bit. c-ares's own ares_query()
 * neither sets nor shows it.
 *
 * A full queue has thousands of questions at once. Sent in one burst they
 * overrun the sockets' buffers, the resolver's or ours, and each one that is
 * lost costs seconds: so AT_ONCE are asked, then another with each answer; those
 * that are slow do not keep the others for longer than LATELY.
 */
#include <apr_strings.h>
#include <openssl/rand.h>

#include "dns_private.h"
#include "mg_log.h"

#define EDNS_SIZE 1232        /* no fragments */
#define AT_ONCE 100
#define LATELY apr_time_from_msec(50)

typedef struct dns_query_t query_t;
struct dns_query_t {
    dns_lookup_t *lookup;
    dns_query_fn *fn;
    const char *name;
    int type;
    query_t *next;
};

int dns_is_answer(int status)
{
    /* or a name that no resolver will ever know */
    return status == ARES_SUCCESS || status == ARES_ENOTFOUND
           || status == ARES_ENODATA || status == ARES_EBADNAME;
}

void dns_note_failure(dns_lookup_t *l, int status)
{
    if (dns_is_answer(status))
        return;
    l->failed = 1;
    l->why = ares_strerror(status);
}

/* What the header says (RFC 1035 4.1.1). */
static int status_of(const unsigned char *message, int len)
{
    if (len < 12)
        return ARES_EBADRESP;
    switch (message[3] & 0x0f) {
    case 0:
        return message[6] || message[7] ? ARES_SUCCESS : ARES_ENODATA;
    case 1:
        return ARES_EFORMERR;
    case 3:
        return ARES_ENOTFOUND;
    case 4:
        return ARES_ENOTIMP;
    case 5:
        return ARES_EREFUSED;
    default:
        return ARES_ESERVFAIL;
    }
}

static void ask_more(dns_t *dns);

static void on_answer(void *baton, int status, int timeouts,
                      unsigned char *message, int len)
{
    query_t *q = baton;
    int secure = 0;

    (void)timeouts;
    if (q->lookup->dns->closing)
        return;
    if (q->lookup->dns->nasked > 0)
        q->lookup->dns->nasked--;
    ask_more(q->lookup->dns);
    if (status == ARES_SUCCESS) {
        status = status_of(message, len);
        secure = q->lookup->dns->trusted && len >= 12
                 && (message[3] & 0x20) != 0;
    }
    if (dns_is_answer(status))
        q->lookup->secure &= secure;
    q->fn(q->lookup, status, secure, message, len);
}

static void ask(query_t *q)
{
    dns_t *dns = q->lookup->dns;
    unsigned char *message = NULL;
    unsigned short id = 0;
    int len = 0, status;

    dns->nasked++;
    /* nobody must guess it */
    RAND_bytes((unsigned char *)&id, sizeof(id));
    status = ares_create_query(q->name, 1 /* IN */, q->type, id, 1, &message,
                               &len, EDNS_SIZE);
    if (status != ARES_SUCCESS) {
        on_answer(q, status, 0, NULL, 0);
        return;
    }
    message[3] |= 0x20; /* AD: tell us */
    ares_send(dns->channel, message, len, on_answer, q);
    ares_free_string(message);
    dns_set_timer(dns);
}

static void on_line_timer(loop_t *loop, void *baton)
{
    dns_t *dns = baton;

    (void)loop;
    dns->line_timer = NULL;
    dns->nasked = 0;
    ask_more(dns);
}

static void ask_more(dns_t *dns)
{
    query_t *q;

    if (dns->asking)
        return; /* an answer that came at once */
    dns->asking = 1;
    while (dns->nasked < AT_ONCE && (q = dns->line) != NULL) {
        dns->line = q->next;
        if (!dns->line)
            dns->line_end = &dns->line;
        ask(q);
    }
    dns->asking = 0;
    if (dns->line && !dns->line_timer)
        dns->line_timer = loop_timer_set(dns->loop, LATELY, on_line_timer,
                                         dns);
}

void dns_query(dns_lookup_t *l, const char *name, int type, dns_query_fn *fn)
{
    dns_t *dns = l->dns;
    query_t *q = apr_pcalloc(l->pool, sizeof(*q));

    q->lookup = l;
    q->fn = fn;
    q->name = apr_pstrdup(l->pool, name);
    q->type = type;
    *dns->line_end = q;
    dns->line_end = &q->next;
    ask_more(dns);
}

void dns_queries_stop(dns_t *dns)
{
    if (dns->line_timer)
        loop_timer_cancel(dns->line_timer);
    dns->line_timer = NULL;
    dns->line = NULL;
    dns->line_end = &dns->line;
}
