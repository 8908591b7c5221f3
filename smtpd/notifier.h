/* notifier.h - webhooks and route forwards over HTTP (the notifier role).
 *
 * notifier.c         claims, starts, leases, stop
 * notifier_line.c    customers, hosts and their shares
 * notifier_address.c  where a host is
 * notifier_post.c    one post: request, what the answer means
 * notifier_fields.c  what is posted
 * notifier_stream.c  large messages in it
 * notifier_curl.c    posts are transfers of libcurl (curl_loop.h)
 * notifier_guard.c   which addresses may be reached
 * notifier_result.c  results, committed in batches
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include <apr_hash.h>
#include <apr_ring.h>
#include "curl_loop.h"
#include "dns.h"
#include "mg_event.h"
#include "mg_group.h"
#include "mg_hook.h"
#include "mg_queue.h"
#include "mg_render.h"
#include "notifier_guard.h"
#include "worker.h"

#define NOTIFIER_CLAIMS 2000         /* rows held */
#define NOTIFIER_CUSTOMER_CLAIMS 200 /* of one account: the rest stays where it
                                      * is until some of them are done */
#define NOTIFIER_LINE_CLAIMS 100     /* of one account for one host, where it
                                      * has others; beyond them: later */
#define NOTIFIER_LINE_POSTS 20       /* under way for one account to one host */
#define NOTIFIER_MEMORY (192 * 1024 * 1024)  /* bytes of posts under way */
#define NOTIFIER_ANSWER 4096         /* octets of an answer that are kept */

typedef struct notifier_t notifier_t;
typedef struct notifier_post_t notifier_post_t;
typedef struct notifier_line_t notifier_line_t;
APR_RING_HEAD(notifier_ring_t, notifier_post_t);
APR_RING_HEAD(notifier_lines_t, notifier_line_t);

typedef enum {
    NOTIFIER_DONE,      /* taken: settle; a forward is an event too */
    NOTIFIER_LATER,     /* put off by schedule */
    NOTIFIER_GIVEN_UP,  /* to dead_letter; a forward failed */
    NOTIFIER_GIVEN_BACK /* never posted: released */
} notifier_verdict_t;

/* A server, by host:port. */
typedef struct {
    const char *dest;
    int running, lines;
} notifier_host_t;

typedef struct {
    apr_int64_t account_id;
    int held, running, lines;
} notifier_customer_t;

/* One customer's posts to one host. */
struct notifier_line_t {
    APR_RING_ENTRY(notifier_line_t) link; /* ready: something waits */
    const char *key;
    notifier_host_t *host;
    notifier_customer_t *customer;
    struct notifier_ring_t waiting;
    int nwaiting, running, held;
    int window;               /* may be under way */
    int failures;             /* in a row, without any answer */
    apr_time_t closed_until;  /* mg_ticks() */
    apr_time_t idle_since;
};

struct notifier_post_t {
    APR_RING_ENTRY(notifier_post_t) link;
    notifier_t *notifier;
    notifier_line_t *line;
    apr_pool_t *pool;
    mg_delivery_t row;
    json_t *payload;          /* the row's, read: notifier_payload() */
    mg_message_t *message;    /* read when it starts; for the event */
    apr_time_t lease_until;   /* mg_ticks() */
    int running;

    /* while it is under way */
    apr_pool_t *body_pool;
    CURL *easy;
    curl_mime *mime;
    struct curl_slist *resolve;
    const char *url_host, *url_port;
    int looking;              /* for its address */
    apr_time_t begun_at;      /* mg_ticks() */
    apr_int64_t memory;
    char answer[NOTIFIER_ANSWER + 1];
    apr_size_t answer_len;
    apr_int64_t received;
    const char *refused;      /* by the guard */
    int reached;              /* some address was allowed */
    char error[CURL_ERROR_SIZE];

    /* the result */
    notifier_verdict_t verdict;
    const char *reply;
    int code, lost, tries;
    apr_time_t due_at;
    mg_unit_t unit;
};

/* The message of the last webhook. */
typedef struct {
    apr_pool_t *pool;
    mg_message_t *message;    /* NULL: none */
    json_t *options;          /* read; NULL: not yet, or none */
    const char *head;         /* its first slice; NULL: not read */
    apr_size_t head_len;
} notifier_seen_t;

#define NOTIFIER_HANDLES 64   /* of curl, kept for the next posts */

struct notifier_t {
    worker_t *worker;
    apr_pool_t *pool;
    mg_claimer_t *claimer;
    notifier_guard_t *guard;
    apr_interval_time_t lease;
    int want_claim;
    int empty_rounds;         /* claims in a row that found no row to take */
    loop_timer_t *claim_timer;

    apr_hash_t *lines, *hosts, *customers;
    apr_hash_t *owners;       /* a domain's account */
    struct notifier_lines_t ready;
    int nheld;                /* claimed and not yet settled */
    int nwaiting, nrunning;
    apr_int64_t memory;       /* of what is under way */
    struct notifier_ring_t running, results;

    int nresults;
    int commit_lazy;          /* this one needs no sync */
    apr_time_t results_since, commit_took;
    loop_timer_t *commit_timer;
    apr_time_t store_down_until;

    curl_loop_t *curl;
    CURL *handles[NOTIFIER_HANDLES];
    int nhandles;
    struct curl_slist *headers;
    notifier_seen_t seen;
    dns_t *dns;
    int closing;              /* its pool goes */

    apr_pool_t *key_pool;     /* opened signing keys by account */
    apr_hash_t *keys;
    apr_uint32_t key_generation;
    apr_time_t keys_until;
};

/* --- notifier.c --- */

/** The post is over, or never began: it leaves its host. */
void notifier_post_left(notifier_post_t *post);
/** Its result is in the store. */
void notifier_let_go(notifier_post_t *post);
void notifier_check_done(notifier_t *n);
/** @return whether the store worked; else nothing is asked of it for a while */
int notifier_store_works(notifier_t *n, apr_status_t rv);

/* --- notifier_line.c --- */

void notifier_lines_init(notifier_t *n);
notifier_line_t *notifier_line(notifier_t *n, apr_int64_t account_id,
                               const char *dest, apr_pool_t *ptemp);
int notifier_line_may_start(const notifier_t *n, const notifier_line_t *line);
/** There was an answer, whatever it says; there was none. */
void notifier_line_answered(notifier_line_t *line);
void notifier_line_failed(notifier_line_t *line);
/** Whose domain it is; what of it may be claimed (mg_claim_share_fn). */
void notifier_owner(notifier_t *n, apr_int64_t domain_id,
                    apr_int64_t account_id);
mg_claim_share_fn notifier_share;

/* --- notifier_post.c --- */

/**
 * Read the message, make the request, hand it to curl.
 *
 * @return APR_SUCCESS: it is under way, or has a result already; else the
 *         store's error: it waits
 */
apr_status_t notifier_post_start(notifier_post_t *post);
/** curl is done with it. */
void notifier_post_finished(notifier_post_t *post, CURLcode rc);
/** It goes out now. */
void notifier_post_go(notifier_post_t *post);
/** It cannot be reached: later, or never where it must not be. */
void notifier_post_lost(notifier_post_t *post, const char *why);
/** An address is not for it; what: notifier_guard_refuses(). */
void notifier_post_refuse(notifier_post_t *post, const char *address,
                          const char *what);
/** Frees what belongs to the request alone. */
void notifier_post_free_request(notifier_post_t *post);
/** Those that are kept; at the end. */
void notifier_handles_free(notifier_t *n);
/** When to try again after this many attempts (from 1), microseconds; 0: give
 * up. hook: else it is a forward. */
apr_interval_time_t notifier_retry_delay(int hook, int attempts);

/* --- notifier_fields.c --- */

static inline int notifier_is_hook(const notifier_post_t *post)
{
    return post->row.transport == MG_TRANSPORT_HOOK;
}
/** The row's payload, NULL if it has none; its "event", "" if it has none. */
const json_t *notifier_payload(notifier_post_t *post);
const char *notifier_event(notifier_post_t *post);
/**
 * Made in post->body_pool; post->memory is about what they take.
 *
 * @return APR_ENOENT: something it needs is not there any more, *pwhy says
 *         what; MG_ECRYPT: the key cannot be opened; else the store's error
 */
apr_status_t notifier_fields_make(apr_array_header_t **pfields,
                                  const char **pwhy, notifier_post_t *post);
/** row.payload gets all that a webhook needs to be posted again later. What
 * cannot be read now is left out. */
void notifier_fields_keep(notifier_post_t *post);

/* --- notifier_stream.c --- */

/** The copy for one recipient, from the store.
 * @return APR_ENOENT: its content is gone; as of mg_template_parse() and
 *         mg_render_copy() */
typedef struct notifier_stream_t notifier_stream_t;
apr_status_t notifier_stream(notifier_stream_t **pstream, mg_db_t *db,
                             const mg_render_for_t *who, apr_pool_t *p);
apr_int64_t notifier_stream_size(const notifier_stream_t *stream);
/** For curl_mime_data_cb(), baton: the stream. */
size_t notifier_stream_read(char *buf, size_t size, size_t n, void *baton);
int notifier_stream_seek(void *baton, curl_off_t offset, int origin);

/* --- notifier_address.c --- */

/** Where is its host? Then it goes, or is lost; perhaps before this returns. */
void notifier_address(notifier_post_t *post);

/* --- notifier_curl.c --- */

apr_status_t notifier_curl_init(notifier_t *n);
apr_status_t notifier_curl_add(notifier_post_t *post);

/* --- notifier_result.c --- */

void notifier_result(notifier_post_t *post, notifier_verdict_t verdict,
                     int code, const char *reply, apr_time_t due_at);
/** At the end of a turn. */
void notifier_results_check(notifier_t *n);

#endif
