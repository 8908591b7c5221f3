/* api_router.c - the API's table of contents, and a request's way through. */
#include "api.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "mg_text.h"

static const api_endpoint_t endpoints[] = {
    { M_GET,    "/domains", api_domains_list, API_ANY },
    { M_POST,   "/domains", api_domains_create, API_ANY },
    { M_GET,    "/domains/{domain}", api_domains_get, API_ANY },
    { M_PUT,    "/domains/{domain}", api_domains_update, API_ANY },
    { M_PUT,    "/domains/{domain}/verify", api_domains_verify, API_ANY },
    { M_DELETE, "/domains/{domain}", api_domains_delete, API_ANY },
    { M_GET,    "/domains/{domain}/webhooks", api_webhooks_list, API_ANY },
    { M_POST,   "/domains/{domain}/webhooks", api_webhooks_create, API_ANY },
    { M_GET,    "/domains/{domain}/webhooks/{id}", api_webhooks_get,
      API_ANY },
    { M_PUT,    "/domains/{domain}/webhooks/{id}", api_webhooks_update,
      API_ANY },
    { M_DELETE, "/domains/{domain}/webhooks/{id}", api_webhooks_delete,
      API_ANY },
    { M_GET,    "/domains/{domain}/messages/{key}", api_stored_get,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/domains/{domain}/messages/{key}", api_stored_delete,
      API_ANY | API_DOMAIN },
    { M_GET,    "/domains/{domain}/messages/{key}/attachments/{number}",
      api_stored_attachment, API_ANY | API_DOMAIN },
    { M_GET,    "/domains/{domain}/tracking", api_tracking_get, API_V3 },
    { M_PUT,    "/domains/{domain}/tracking/{kind}", api_tracking_put,
      API_V3 },

    { M_GET,    "/domains/{domain}/credentials", api_credentials_list,
      API_ANY | API_DOMAIN },
    { M_POST,   "/domains/{domain}/credentials", api_credentials_create,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/domains/{domain}/credentials", api_credentials_clear,
      API_V3 | API_DOMAIN },
    { M_PUT,    "/domains/{domain}/credentials/{login}",
      api_credentials_update, API_ANY | API_DOMAIN },
    { M_DELETE, "/domains/{domain}/credentials/{login}",
      api_credentials_delete, API_ANY | API_DOMAIN },

    { M_GET,    "/routes", api_routes_list, API_ANY },
    { M_POST,   "/routes", api_routes_create, API_ANY },
    { M_POST,   "/routes/test", api_routes_test, API_ANY },
    { M_GET,    "/routes/match", api_routes_match, API_V3 },
    { M_GET,    "/routes/{id}", api_routes_get, API_ANY },
    { M_PUT,    "/routes/{id}", api_routes_update, API_ANY },
    { M_DELETE, "/routes/{id}", api_routes_delete, API_ANY },

    { M_GET,    "/lists", api_lists_list, API_ANY },
    { M_POST,   "/lists", api_lists_create, API_ANY },
    { M_GET,    "/lists/pages", api_lists_pages, API_V3 },
    { M_GET,    "/lists/{list}", api_lists_get, API_ANY },
    { M_PUT,    "/lists/{list}", api_lists_update, API_ANY },
    { M_DELETE, "/lists/{list}", api_lists_delete, API_ANY },
    { M_GET,    "/lists/{list}/stats", api_lists_stats, API_V2 },
    { M_GET,    "/lists/{list}/members", api_list_members_list, API_ANY },
    { M_POST,   "/lists/{list}/members", api_list_members_create, API_ANY },
    { M_GET,    "/lists/{list}/members/pages", api_list_members_pages,
      API_V3 },
    { M_POST,   "/lists/{list}/members.json", api_list_members_json,
      API_ANY },
    { M_POST,   "/lists/{list}/members.csv", api_list_members_csv, API_ANY },
    { M_GET,    "/lists/{list}/members/{member}", api_list_members_get,
      API_ANY },
    { M_PUT,    "/lists/{list}/members/{member}", api_list_members_update,
      API_ANY },
    { M_DELETE, "/lists/{list}/members/{member}", api_list_members_delete,
      API_ANY },

    { M_POST,   "/{domain}/messages", api_messages_send,
      API_ANY | API_DOMAIN },
    { M_POST,   "/{domain}/messages.mime", api_messages_send_mime,
      API_ANY | API_DOMAIN },
    { M_GET,    "/{domain}/log", api_log_list, API_ANY | API_DOMAIN },
    { M_GET,    "/{domain}/stats", api_stats_list, API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/tags/{tag}", api_tags_delete,
      API_ANY | API_DOMAIN },
    { M_GET,    "/{domain}/events", api_events_list, API_ANY | API_DOMAIN },
    { M_GET,    "/{domain}/events/{page}", api_events_page,
      API_ANY | API_DOMAIN },

    { M_GET,    "/{domain}/campaigns", api_campaigns_list,
      API_V2 | API_DOMAIN },
    { M_POST,   "/{domain}/campaigns", api_campaigns_create,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}", api_campaigns_get,
      API_V2 | API_DOMAIN },
    { M_PUT,    "/{domain}/campaigns/{id}", api_campaigns_update,
      API_V2 | API_DOMAIN },
    { M_POST,   "/{domain}/campaigns/{id}", api_campaigns_update,
      API_V2 | API_DOMAIN },
    { M_DELETE, "/{domain}/campaigns/{id}", api_campaigns_delete,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/events", api_campaign_events,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/stats", api_campaign_stats,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/clicks", api_campaign_clicks,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/opens", api_campaign_opens,
      API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/unsubscribes",
      api_campaign_unsubscribes, API_V2 | API_DOMAIN },
    { M_GET,    "/{domain}/campaigns/{id}/complaints",
      api_campaign_complaints, API_V2 | API_DOMAIN },

    { M_GET,    "/{domain}/mailboxes", api_mailboxes_list,
      API_ANY | API_DOMAIN },
    { M_POST,   "/{domain}/mailboxes", api_mailboxes_create,
      API_ANY | API_DOMAIN },
    { M_PUT,    "/{domain}/mailboxes/{mailbox}", api_mailboxes_update,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/mailboxes/{mailbox}", api_mailboxes_delete,
      API_ANY | API_DOMAIN },

    { M_GET,    "/{domain}/bounces", api_suppressions_list,
      API_ANY | API_DOMAIN },
    { M_POST,   "/{domain}/bounces", api_suppressions_add,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/bounces", api_suppressions_clear,
      API_V3 | API_DOMAIN },
    { M_GET,    "/{domain}/bounces/{address}", api_suppressions_get,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/bounces/{address}", api_suppressions_delete,
      API_ANY | API_DOMAIN },

    { M_GET,    "/{domain}/complaints", api_suppressions_list,
      API_ANY | API_DOMAIN },
    { M_POST,   "/{domain}/complaints", api_suppressions_add,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/complaints", api_suppressions_clear,
      API_V3 | API_DOMAIN },
    { M_GET,    "/{domain}/complaints/{address}", api_suppressions_get,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/complaints/{address}", api_suppressions_delete,
      API_ANY | API_DOMAIN },

    { M_GET,    "/{domain}/unsubscribes", api_suppressions_list,
      API_ANY | API_DOMAIN },
    { M_POST,   "/{domain}/unsubscribes", api_suppressions_add,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/unsubscribes", api_suppressions_clear,
      API_V3 | API_DOMAIN },
    { M_GET,    "/{domain}/unsubscribes/{address}", api_suppressions_get,
      API_ANY | API_DOMAIN },
    { M_DELETE, "/{domain}/unsubscribes/{address}", api_suppressions_delete,
      API_ANY | API_DOMAIN },
};

/* With AllowEncodedSlashes NoDecode httpd leaves "%2F" as it is; what it stands
 * for is in the request's line: "%252F" was another thing. */
static const char *with_slashes(api_t *q, const char *arg)
{
    const char *s = q->r->unparsed_uri;
    char *kept, *whole;
    apr_size_t len;

    for (; s && *s && *s != '?'; s += len + (s[len] == '/')) {
        len = strcspn(s, "/?");
        kept = apr_pstrmemdup(q->p, s, len);
        whole = apr_pstrdup(q->p, kept);
        if (ap_unescape_url_keep2f(kept, 0) != OK || strcmp(kept, arg) != 0)
            continue;
        (void)ap_unescape_url(whole); /* it objects to what we want */
        return whole;
    }
    return arg;
}

/* A URL may hold any bytes; names are text. */
static void clean_args(api_t *q)
{
    const char *arg;
    int i;

    for (i = 0; i < MG_PATH_ARGS && q->args[i]; i++) {
        arg = q->args[i];
        if (ap_strcasestr(arg, "%2F"))
            arg = with_slashes(q, arg);
        q->args[i] = mg_text_clean(arg, strlen(arg), q->p);
    }
}

/* The endpoint, or NULL; *pallowed: the methods this path has. */
static const api_endpoint_t *find_endpoint(api_t *q, const char *path,
                                           apr_int64_t *pallowed)
{
    apr_size_t i;

    *pallowed = 0;
    for (i = 0; i < sizeof(endpoints) / sizeof(endpoints[0]); i++) {
        const api_endpoint_t *e = &endpoints[i];

        if (!(e->flags & (1 << (q->version - 1))))
            continue;
        if (!mg_path_match(q->args, e->pattern, path, q->p))
            continue;
        *pallowed |= AP_METHOD_BIT << e->method;
        if (e->method == q->r->method_number) {
            clean_args(q);
            return e;
        }
    }
    return NULL;
}

static int unknown_path(api_t *q)
{
    if (q->version == 3)
        return api_reply(q, HTTP_OK, "text/plain",
                         "Mailgun Magnificent API");
    return api_reply(q, HTTP_NOT_FOUND, "text/html; charset=utf-8",
                     "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">"
                     "\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n"
                     "<p>The requested URL was not found on the server.</p>\n");
}

static int wrong_method(api_t *q, apr_int64_t allowed)
{
    static const struct {
        int number;
        const char *name;
    } methods[] = { { M_GET, "GET, HEAD" }, { M_POST, "POST" },
                    { M_PUT, "PUT" }, { M_DELETE, "DELETE" } };
    const char *list = "OPTIONS";
    apr_size_t i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (allowed & (AP_METHOD_BIT << methods[i].number))
            list = apr_pstrcat(q->p, list, ", ", methods[i].name, NULL);
    apr_table_setn(q->r->headers_out, "Allow", list);
    if (q->r->method_number == M_OPTIONS)
        return api_reply(q, HTTP_OK, "text/plain", "");
    return api_reply_message(q, HTTP_METHOD_NOT_ALLOWED,
                             "Method %s is not allowed here",
                             q->r->method);
}

static int route(api_t *q, const char *path)
{
    apr_int64_t allowed;

    q->endpoint = find_endpoint(q, path, &allowed);
    if (!q->endpoint)
        return allowed || q->r->method_number == M_OPTIONS
                   ? wrong_method(q, allowed) : unknown_path(q);
    if (!q->child || !q->child->leader)
        return api_reply_message(q, HTTP_SERVICE_UNAVAILABLE,
                                 "Service temporarily unavailable. "
                                 "Try again later.");
    q->config = q->child->config;
    q->worker = api_worker_borrow(q->child);
    if (api_auth(q))
        return API_REPLIED;
    api_reader_done(q); /* a slow body shall not keep it */
    if (api_form_read(q))
        return API_REPLIED;
    if (q->endpoint->flags & API_DOMAIN &&
        api_find_domain(q, q->args[0], 1))
        return API_REPLIED;
    return q->endpoint->handler(q);
}

int api_is_ours(const request_rec *r)
{
    const api_dir_t *dir = api_dir(r);
    const char *rest;

    return dir->enabled == 1 && r->uri &&
           mg_path_version(&rest, dir->prefix, r->uri) != 0;
}

int api_handle(request_rec *r)
{
    api_t *q = apr_pcalloc(r->pool, sizeof(*q));
    const api_dir_t *dir = api_dir(r);
    const char *path;

    q->r = r;
    q->p = r->pool;
    q->child = api_child();
    q->version = mg_path_version(&path, dir->prefix, r->uri);
    if (!q->version)
        return DECLINED;
    api_headers(r);
    route(q, path);
    api_reader_done(q);
    if (q->worker)
        api_worker_return(q->child, q->worker);
    return OK;
}
