/* notifier.h - webhooks and route forwards over HTTP (the notifier role).
 *
 * notifier.c         claims, hosts and their shares, leases, stop
 * notifier_post.c    one post: request, what the answer means
 * notifier_fields.c  what is posted
 * notifier_curl.c    posts are transfers of libcurl (curl_loop.h)
 * notifier_guard.c   which addresses may be reached
 * notifier_result.c  results, committed in batches
 */
#ifndef NOTIFIER_H
#define NOTIFIER_H

#include <apr_hash.h>
#include <apr_ring.h>
#include "curl_loop.h"
#include "mg_event.h"
#include "mg_group.h"
#include "mg_hook.h"
#include "mg_queue.h"
#include "notifier_guard.h"
#include "worker.h"

#define NOTIFIER_CLAIMS 500          /* rows held */
#define NOTIFIER_HOST_CLAIMS 50      /* of one host, beyond them: later */
#define NOTIFIER_POSTS 200           /* under way */
#define NOTIFIER_HOST_POSTS 10       /* under way to one host */
#define NOTIFIER_MEMORY (192 * 1024 * 1024)  /* bytes of posts under way */
#define NOTIFIER_ANSWER 4096         /* octets of an answer that are kept */

typedef struct notifier_t notifier_t;
typedef struct notifier_post_t notifier_post_t;
APR_RING_HEAD(notifier_ring_t, notifier_post_t);

typedef enum {
    NOTIFIER_DONE,      /* taken: settle; a forward is an event too */
    NOTIFIER_LATER,     /* put off by schedule */
    NOTIFIER_GIVEN_UP,  /* to dead_letter; a forward failed */
    NOTIFIER_GIVEN_BACK /* never posted: released */
} notifier_verdict_t;

/* A customer's server, by host:port. */
typedef struct {
    const char *dest;
    struct notifier_ring_t waiting;
    int nwaiting, running;
    int failures;             /* in a row, without any answer */
    apr_time_t closed_until;  /* mg_ticks() */
    apr_time_t idle_since;
} notifier_host_t;

struct notifier_post_t {
    APR_RING_ENTRY(notifier_post_t) link;
    notifier_t *notifier;
    notifier_host_t *host;
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
    struct curl_slist *headers;
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

struct notifier_t {
    worker_t *worker;
    apr_pool_t *pool;
    mg_claimer_t *claimer;
    notifier_guard_t *guard;
    apr_interval_time_t lease;
    int want_claim;
    loop_timer_t *claim_timer;

    apr_hash_t *hosts;
    int nhosts;
    int nheld;                /* claimed and not yet settled */
    int nwaiting, nrunning;
    apr_int64_t memory;       /* of what is under way */
    struct notifier_ring_t running, results;

    int nresults;
    apr_time_t results_since, commit_took;
    loop_timer_t *commit_timer;
    apr_time_t store_down_until;

    curl_loop_t *curl;

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
/** Frees what belongs to the request alone. */
void notifier_post_free_request(notifier_post_t *post);
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

/* --- notifier_curl.c --- */

apr_status_t notifier_curl_init(notifier_t *n);
apr_status_t notifier_curl_add(notifier_post_t *post);

/* --- notifier_result.c --- */

void notifier_result(notifier_post_t *post, notifier_verdict_t verdict,
                     int code, const char *reply, apr_time_t due_at);
/** At the end of a turn. */
void notifier_results_check(notifier_t *n);

#endif
