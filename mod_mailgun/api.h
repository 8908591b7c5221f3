/* api.h - the parts of mod_mailgun and what they share.
 *
 * A request walks: api_router (which endpoint) -> api_auth (whose) -> api_form
 * (parameters) -> the endpoint's file -> api_reply. Endpoints that change
 * something hand a unit to the leader (mg_group.h) and answer when its commit
 * returned.
 */
#ifndef API_H
#define API_H

#include <httpd.h>
#include <http_config.h>

#include "mg_campaign.h"
#include "mg_config.h"
#include "mg_domain.h"
#include "mg_form.h"
#include "mg_geo.h"
#include "mg_group.h"
#include "mg_hit_journal.h"
#include "mg_json.h"
#include "mg_json_out.h"
#include "mg_options.h"
#include "mg_path.h"
#include "mg_routing.h"
#include "mg_seal.h"
#include "mg_shared.h"
#include "mg_track.h"
#include "mg_tracking.h"

extern module AP_MODULE_DECLARE_DATA mailgun_module;

/* --- api_config.c --- */

typedef struct {
    int enabled;          /* MailgunAPI; -1: not said */
    const char *prefix;   /* path of the <Location>, or "" */
    int tracking;         /* MailgunTracking; -1: not said */
} api_dir_t;

extern const command_rec api_commands[];
void *api_dir_create(apr_pool_t *p, char *dir);
void *api_dir_merge(apr_pool_t *p, void *base, void *add);
void *api_server_create(apr_pool_t *p, server_rec *s);
void *api_server_merge(apr_pool_t *p, void *base, void *add);
const api_dir_t *api_dir(const request_rec *r);
/** Of mailgun.conf: one for the whole process. */
const mg_config_t *api_config(const server_rec *s);
/** True if MailgunAPI or MailgunTracking stands anywhere. */
int api_is_wanted(void);
int api_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                    server_rec *s);

/* --- api_child.c: what one httpd child has --- */

#define API_KEYS 64

typedef struct {
    unsigned char digest[32];
    apr_int64_t account_id;
    apr_uint32_t generation;
    apr_time_t asked;           /* mg_ticks(); 0: none is here */
} api_key_t;

/* What one request at a time may use. */
typedef struct api_worker_t api_worker_t;
struct api_worker_t {
    apr_pool_t *pool;
    mg_domain_cache_t *domains;
    mg_routing_t *routing;
    api_key_t keys[API_KEYS];   /* proven lately, by their digest */
    api_worker_t *next;
};

typedef struct api_child_t api_child_t;
struct api_child_t {
    apr_pool_t *pool;
    server_rec *server;
    const mg_config_t *config;
    mg_shared_t *shared;
    mg_leader_t *leader;
    const mg_secret_t *secret;  /* seals only; NULL: there is none */
    /* tracking */
    mg_track_keys_t *track_keys;
    mg_geo_t *geo;              /* NULL: there is none */
    mg_hit_journal_t *journal;
    volatile apr_time_t track_down;  /* mg_ticks(): the store failed then */
};

void api_child_init(apr_pool_t *pchild, server_rec *s);
api_child_t *api_child(void);
api_worker_t *api_worker_borrow(api_child_t *child);
void api_worker_return(api_child_t *child, api_worker_t *worker);
/** A connection that may write, for content too large for one unit. */
typedef struct api_writer_t api_writer_t;
struct api_writer_t {
    apr_pool_t *pool;
    mg_db_t *db;
    api_writer_t *next;
};
apr_status_t api_writer_borrow(api_writer_t **pwriter, api_child_t *child);
void api_writer_return(api_writer_t *writer, int is_good);
/** In a unit: tells the leader's connection what events need to know. */
void api_child_context(api_child_t *child, mg_db_t *db);
/** Less than MailgunMinFreeSpace where the store or the spool is. */
int api_child_is_full(api_child_t *child);

/* --- a request --- */

/* "Replied": what a step returns when it has answered; 0: go on. */
enum { API_GO_ON = 0, API_REPLIED = 1 };

typedef struct api_t api_t;
typedef int api_handler_fn(api_t *q);

enum {
    API_V2 = 2, API_V3 = 4, API_ANY = API_V2 | API_V3,
    API_DOMAIN = 8       /* the first argument is a domain of the account */
};

typedef struct {
    int method;                 /* M_GET ... */
    const char *pattern;
    api_handler_fn *handler;
    int flags;
} api_endpoint_t;

struct api_t {
    request_rec *r;
    apr_pool_t *p;
    api_child_t *child;
    const mg_config_t *config;
    int version;                /* 2, 3 */
    const api_endpoint_t *endpoint;
    const char *args[MG_PATH_ARGS];
    api_worker_t *worker;
    mg_db_t *db;                /* a reader, while it is borrowed */
    apr_int64_t account_id;
    mg_form_t *form;
    const char *content_type;   /* of the body, "" */
    int is_multipart;
    struct {                    /* API_DOMAIN */
        apr_int64_t id;
        const char *name, *state;
        int restricts_from;     /* to its own addresses */
        mg_tracking_t tracking; /* where a message does not say so itself */
    } domain;
};

/* api_router.c */
int api_is_ours(const request_rec *r);
int api_handle(request_rec *r);

/* api_auth.c: whose key */
int api_auth(api_t *q);

/* api_form.c: query and body */
int api_form_read(api_t *q);
/** The last value, clean text, or NULL. */
const char *api_param(api_t *q, const char *name);
/** 0 <= *pskip, 0 <= *plimit <= 1000. */
int api_paging(api_t *q, apr_int64_t *pskip, apr_int64_t *plimit);

/* api_store.c: readers and units */
/** The reader of this request; borrowed at the first call. */
int api_reader(api_t *q);
void api_reader_done(api_t *q);
/** Hand a unit to the leader and wait. Gives the reader back before. */
apr_status_t api_unit(api_t *q, apr_status_t (*run)(mg_db_t *, void *,
                                                    apr_pool_t *),
                      apr_status_t (*is_there)(mg_db_t *, void *),
                      void *baton);
/** q->domain by its name; another account's is none: 404, with or without the
 * name in the text. */
int api_find_domain(api_t *q, const char *name, int say_name);

/* api_reply.c */
void api_headers(request_rec *r);
int api_reply(api_t *q, int status, const char *type, const char *body);
/** Takes the reference. */
int api_reply_json(api_t *q, int status, json_t *json);
int api_reply_out(api_t *q, int status, const mg_json_out_t *out);
/** {"total_count": total, "items": items}; takes the reference. */
int api_reply_items(api_t *q, apr_int64_t total, json_t *items);
int api_reply_message(api_t *q, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** The store (or a disk) failed: one log line, 503 or 507. */
int api_reply_failed(api_t *q, apr_status_t rv, const char *what);
/** "https://api.x:8443/v2", on the host that the client called. */
const char *api_url(api_t *q);

/* api_accept.c: a message is taken over */

typedef struct {
    apr_array_header_t *recipients;   /* of mg_address_t *, each once */
    mg_options_t *options;            /* o:, h:, v: */
    const char *sender;               /* bare */
    const char *from_header, *subject;
    const char *message_id;           /* without < > */
    const char *summary;              /* mg_summary.h, or NULL */
    const char *bytes;                /* or NULL: file */
    apr_file_t *file;
    apr_int64_t size;
    apr_time_t now;
    int composed;                     /* from parameters: To is ours */
    apr_array_header_t *header;       /* of mg_header_t: as it goes out; once
                                         routes asked for it */
} api_outgoing_t;

#define API_RECIPIENTS_MAX 1000

/** Shared first steps: may this domain send; nothing breaks a header. */
int api_outgoing_begin(api_t *q, api_outgoing_t *out);
/** o:, h:, v: and recipient variables. What the parameters say wins over
 * headers (of a message that the client built, or NULL). */
int api_outgoing_options(api_t *q, api_outgoing_t *out,
                         const apr_array_header_t *headers);
/** All fields of one name, "to", into out->recipients and (if not NULL) list:
 * 400 unless they are addresses; *pfound: how many fields. */
int api_outgoing_addresses(api_t *q, api_outgoing_t *out, const char *name,
                           apr_array_header_t *list, int *pfound);
/** Content of the Received: field put on top. */
const char *api_outgoing_received(api_t *q, const api_outgoing_t *out);
/** MailgunRestrictFrom, restrict_from: 403 if not all of From and Sender are
 * addresses of the domain. api_accept() looks at those that parameters set. */
int api_outgoing_restrict(api_t *q, int is_own);
/** The Sender: that the From which is seen needs (h:From, or else given), or
 * NULL. */
const char *api_outgoing_sender(api_t *q, const api_outgoing_t *out,
                                const mg_address_t *given);
int api_outgoing_too_big(api_t *q);
/** Route, commit, answer. */
int api_accept(api_t *q, api_outgoing_t *out);

/* endpoints */
api_handler_fn api_messages_send, api_messages_send_mime;
api_handler_fn api_log_list;
api_handler_fn api_stats_list, api_tags_delete;
api_handler_fn api_events_list, api_events_page;
api_handler_fn api_domains_list, api_domains_get, api_domains_create,
    api_domains_update, api_domains_verify, api_domains_delete;
api_handler_fn api_webhooks_list, api_webhooks_get, api_webhooks_create,
    api_webhooks_update, api_webhooks_delete;
api_handler_fn api_tracking_get, api_tracking_put;
api_handler_fn api_mailboxes_list, api_mailboxes_create, api_mailboxes_update,
    api_mailboxes_delete;
api_handler_fn api_credentials_list, api_credentials_create,
    api_credentials_update, api_credentials_delete, api_credentials_clear;
/** Of a login that is a mailbox. */
api_handler_fn api_mailbox_credentials_update, api_mailbox_credentials_delete;
api_handler_fn api_routes_list, api_routes_get, api_routes_create,
    api_routes_update, api_routes_delete, api_routes_test, api_routes_match;
api_handler_fn api_lists_list, api_lists_pages, api_lists_get,
    api_lists_create, api_lists_update, api_lists_delete, api_lists_stats;
api_handler_fn api_list_members_list, api_list_members_pages,
    api_list_members_get, api_list_members_create, api_list_members_update,
    api_list_members_delete, api_list_members_json, api_list_members_csv;
api_handler_fn api_stored_get, api_stored_delete, api_stored_attachment;
api_handler_fn api_suppressions_list, api_suppressions_get,
    api_suppressions_add, api_suppressions_delete, api_suppressions_clear;

/** The first argument's domain as it is in the store, q->domain too; not the
 * cached one, which may be older than the last change. */
int api_domains_load(api_t *q, mg_domain_t **pdomain);

api_handler_fn api_campaigns_list, api_campaigns_get, api_campaigns_create,
    api_campaigns_update, api_campaigns_delete;
api_handler_fn api_campaign_events, api_campaign_stats, api_campaign_clicks,
    api_campaign_opens, api_campaign_unsubscribes, api_campaign_complaints;

/** The campaign that the path names, or 404. */
int api_campaign_find(api_t *q, mg_campaign_t **pcampaign);

/** 5 to 32 characters, or 400. */
int api_check_password(api_t *q, const char *password);

/** Is this the mailbox that was made with that hash? For is_there(). */
apr_status_t api_mailbox_has_hash(api_t *q, mg_db_t *db, const char *address,
                                  const char *password_hash);

/* api_graceful.c */
int api_pre_close(conn_rec *c);
/** This connection is the API's; this answer its last if the child stops. */
void api_graceful_check(request_rec *r);

#endif
