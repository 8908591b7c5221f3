/* dns_private.h - the inside of look-ups: for dns*.c only. */
#ifndef DNS_PRIVATE_H
#define DNS_PRIVATE_H

#include <ares.h>
#include <apr_hash.h>

#include "dns.h"

#define DNS_NAME_MAX 253      /* RFC 1035 2.3.4 */

typedef struct fd_watch_t fd_watch_t;
struct fd_watch_t {
    dns_t *dns;
    int fd;
    loop_watch_t *watch;
    fd_watch_t *next;
};

struct dns_t {
    loop_t *loop;
    apr_pool_t *pool;
    ares_channel channel;
    apr_hash_t *cache;         /* key -> dns_lookup_t */
    fd_watch_t *fds, *free_fds;
    loop_timer_t *timer;
    struct dns_query_t *line, **line_end; /* not asked yet (dns_query.c) */
    loop_timer_t *line_timer;
    int nasked;                /* lately, without an answer so far */
    int asking;
    apr_uint64_t random;
    int trusted;               /* its AD bit is believed */
    int closing;
};

typedef struct dns_waiter_t dns_waiter_t;
typedef struct {
    dns_t *dns;
    apr_pool_t *pool;
    const char *key, *name;    /* name: within key, behind its first space */
    int pending;               /* queries and host look-ups still out */
    int done;
    int failed;                /* one of them failed: not the whole truth */
    int secure;                /* all that answered were validated */
    int ttl;
    const char *why;           /* of the failure */
    apr_array_header_t *hosts; /* of dns_host_t */
    apr_array_header_t *records; /* of dns_record_t, or NULL */
    dns_answer_t answer;
    dns_waiter_t *waiters;
} dns_lookup_t;

/* --- dns_lookup.c --- */

apr_uint32_t dns_draw(dns_t *dns);
/** One that runs or whose answer holds, or NULL. */
dns_lookup_t *dns_lookup_find(dns_t *dns, const char *key);
dns_lookup_t *dns_lookup_make(dns_t *dns, const char *key);
/** fn hears the answer, at once if it is there. */
void dns_lookup_wait(dns_lookup_t *l, dns_fn *fn, void *baton);
void dns_lookup_finish(dns_lookup_t *l, dns_status_t status,
                       const char *reply);

/* --- dns_query.c --- */

enum { DNS_A = 1, DNS_MX = 15, DNS_TXT = 16, DNS_AAAA = 28, DNS_TLSA = 52 };

/** status: ARES_SUCCESS: the message has answers of some type; ARES_ENODATA,
 * ARES_ENOTFOUND: an answer too (a message is there as well); else none.
 * secure: a resolver that we trust has validated it. Not called while
 * closing. */
typedef void dns_query_fn(dns_lookup_t *l, int status, int secure,
                          const unsigned char *message, int len);
void dns_query(dns_lookup_t *l, const char *name, int type, dns_query_fn *fn);
/** The end: what waits is never asked. */
void dns_queries_stop(dns_t *dns);
/** Something was answered, be it that there is nothing. */
int dns_is_answer(int status);
/** What is no answer makes the look-up fail. */
void dns_note_failure(dns_lookup_t *l, int status);

/* --- dns_channel.c --- */

/** After a query was begun: c-ares may want to be called earlier. */
void dns_set_timer(dns_t *dns);
#endif
