/* mg_message.h - a message that is accepted.
 *
 * Both faces (API, SMTP) fill the same struct and commit it with
 * mg_message_accept() inside one unit (mg_group.h): message, content,
 * deliveries, an "accepted" event per recipient. No 200 and no 250 before that
 * unit's commit returned.
 *
 * Content over MG_CONTENT_INLINE was written ahead, by
 * mg_message_store_content(), in transactions of <= 1 MB; the unit then makes
 * it visible. The keeper sweeps content without a message.
 */
#ifndef MG_MESSAGE_H
#define MG_MESSAGE_H

#include <apr_file_io.h>
#include <apr_tables.h>
#include "mg_db.h"

#define MG_RETRY_LIMIT (3 * 24 * 3600 * APR_TIME_C(1000000))
#define MG_CONTENT_SLICE (256 * 1024)
#define MG_CONTENT_INLINE (256 * 1024)

enum { MG_OUTGOING = 0, MG_INCOMING = 1 };
#define MG_METHOD_NOTICE "dsn"  /* a report of ours: nobody's mailing */

typedef enum {
    MG_TRANSPORT_SMTP = 1,
    MG_TRANSPORT_LMTP,   /* into a mailbox, by Dovecot */
    MG_TRANSPORT_HTTP,   /* a route's forward("http://...") */
    MG_TRANSPORT_HOOK,   /* an event's webhook */
    MG_TRANSPORT_LIST,   /* a mailing list's: the keeper makes a message of it
                            that is the list's own */
    MG_TRANSPORT_BOUNCE, /* came to a VERP sender: the keeper reads it. Nobody
                            is told of it as of mail: no event is made */
    MG_TRANSPORT_EXPANSION /* of such a list's message: the keeper adds its
                            members' deliveries, step by step. No event */
} mg_transport_kind_t;

/** One recipient by one transport. */
typedef struct {
    apr_int64_t id;               /* mg_id_next(), set by the caller */
    mg_transport_kind_t transport;
    const char *recipient;        /* bare address */
    const char *recipient_as_given; /* "Bob <bob@x>" */
    const char *came_to;          /* where a route forwards from: whom it was
                                     accepted for; NULL: recipient */
    const char *came_to_as_given;
    const char *filter;           /* of the route that matched; NULL */
    const char *route_id;         /* its public id */
    const char *stored_key;       /* it is kept for the customer (mg_stored.h):
                                     no delivery, but http with a target, who is
                                     told of it; NULL */
    const char *variables;        /* JSON or NULL */
    const char *dest;             /* smtp: domain; lmtp: mailbox id; http: host */
    const char *target;           /* http: URL; else NULL; of smtp it is made
                                     of the message's options */
    const char *payload;          /* JSON or NULL; smtp, lmtp: mg_dsn_request.h */
    apr_time_t due_at;            /* 0: when the message was made */
    apr_time_t expires_at;        /* 0: as MailgunRetryLimit says then; what is
                                     due later, MG_RETRY_LIMIT after that.
                                     deliver-within may end it earlier */
} mg_envelope_t;

typedef struct {
    apr_int64_t id;               /* mg_id_next(), set by the caller */
    apr_int64_t account_id, domain_id;
    int direction;                /* MG_OUTGOING, MG_INCOMING */
    int testmode;                 /* 1: nothing is delivered; each recipient's
                                   * events are accepted and delivered, and
                                   * say so. The options say it too */
    const char *method;           /* "http", "smtp", MG_METHOD_NOTICE */
    const char *message_id;       /* without < > */
    const char *sender;           /* bare; "" for the null sender */
    const char *from_header, *subject;  /* decoded, UTF-8 */
    const char *options, *variables;    /* JSON or NULL */
    const char *summary;                /* mg_summary.h, or NULL */
    apr_int64_t size;
    apr_time_t created_at;
    /* content: either bytes here, or already stored under id */
    const void *bytes;
    apr_size_t bytes_len;
    int content_is_stored;
    apr_array_header_t *envelopes;      /* of mg_envelope_t */
} mg_message_t;

/** Content of size bytes from file, committed slice by slice with the write
 * lock given back between. Own transactions; db must have none open.
 * @return MG_ECONFLICT if the id is taken: the caller draws anew */
apr_status_t mg_message_store_content(mg_db_t *db, apr_int64_t message_id,
                                      apr_file_t *file, apr_int64_t size,
                                      apr_pool_t *ptemp);
/** Inside a transaction. Rings the doorbells of its transports after COMMIT.
 * Envelopes of one recipient stand together (mg_routing_recipient() has them
 * so), and of one route: they are one "accepted" event, one "routed".
 * @return MG_ECONFLICT if an id is taken: the caller draws anew */
apr_status_t mg_message_accept(mg_db_t *db, const mg_message_t *message,
                               apr_pool_t *ptemp);
/** One delivery more of a message that was accepted before; inside a
 * transaction. Of the message id, account, domain and created_at count. */
apr_status_t mg_message_add(mg_db_t *db, const mg_message_t *message,
                            const mg_envelope_t *envelope, apr_pool_t *ptemp);
/** Recipients more, message->envelopes, of a message that was accepted before:
 * deliveries, and an "accepted" event each; inside a transaction. */
apr_status_t mg_message_add_recipients(mg_db_t *db,
                                       const mg_message_t *message,
                                       apr_pool_t *ptemp);
/** For mg_unit_t.is_there: baton is a const mg_message_t *. */
apr_status_t mg_message_is_there(mg_db_t *db, void *message);

/** All but bytes and envelopes. @return APR_ENOENT */
apr_status_t mg_message_get(mg_message_t **pmessage, mg_db_t *db,
                            apr_int64_t id, apr_pool_t *p);
/** Up to MG_MESSAGES_AT_ONCE of them, each in its own pool, in one statement;
 * messages[i] is NULL where there is none. The whole content (bytes) comes
 * with those of at most content_max <= MG_CONTENT_SLICE octets. */
#define MG_MESSAGES_AT_ONCE 16
apr_status_t mg_message_get_many(mg_message_t **messages, mg_db_t *db,
                                 const apr_int64_t *ids,
                                 apr_pool_t *const *pools, int n,
                                 apr_int64_t content_max);
/** One slice; APR_EOF after the last. seq from 0. */
apr_status_t mg_message_slice(const void **pbytes, apr_size_t *plen,
                              mg_db_t *db, apr_int64_t id, apr_int64_t seq,
                              apr_pool_t *p);
/** Delete contents whose message has no delivery left, and contents without a
 * message older than an hour, at most limit messages. The keeper's. */
apr_status_t mg_message_sweep(int *pswept, mg_db_t *db, int limit,
                              apr_pool_t *ptemp);

/** How long what store() keeps stays; said once per process
 * (MailgunStoredRetention). */
void mg_message_set_stored_for(apr_interval_time_t stored_for);
/** All of the content, size octets or so: it is in one piece in p.
 * @return APR_ENOENT */
apr_status_t mg_message_whole(const char **pbytes, apr_size_t *plen,
                              mg_db_t *db, apr_int64_t id, apr_int64_t size,
                              apr_pool_t *p);

/** Where doorbells are; set once per process. NULL: ring nobody. */
void mg_message_set_run_dir(const char *run_dir);
#endif
