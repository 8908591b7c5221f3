/* api_webhooks.c - /domains/<domain>/webhooks (reference, section 11).
 *
 * An id names a kind of event; its URL is the domain's setting webhook.<id>
 * (mg_domain_setting.c). Where there is none, there is no such webhook.
 */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_log.h"
#include "mg_status.h"

static const char *const ids[] = { "bounce", "click", "deliver", "drop",
                                   "open", "spam", "unsubscribe" };
#define IDS (sizeof(ids) / sizeof(ids[0]))

static const char *setting_of(api_t *q, const char *id)
{
    apr_size_t i;

    for (i = 0; id && i < IDS; i++)
        if (strcmp(ids[i], id) == 0)
            return apr_pstrcat(q->p, "webhook.", id, NULL);
    return NULL;
}

static json_t *url_json(const char *url)
{
    return json_pack("{s:s}", "url", url);
}

static int not_found(api_t *q)
{
    return api_reply_message(q, HTTP_NOT_FOUND, "Webhook not found");
}

static int missing(api_t *q, const char *name)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "Parameter '%s' is missing", name);
}

/* {"message": "Webhook has been ...", "webhook": {"url": ...}} */
static int reply_changed(api_t *q, const char *what, const char *id,
                         const char *url)
{
    mg_shared_bump(q->child->shared);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: webhook %s %s",
           q->domain.name, id, what);
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:s, s:o}", "message",
                  apr_pstrcat(q->p, "Webhook has been ", what, NULL),
                  "webhook", url_json(url)));
}

/* GET */

int api_webhooks_list(api_t *q)
{
    mg_domain_t *domain;
    json_t *all;
    apr_size_t i;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    all = json_object();
    for (i = 0; i < IDS; i++) {
        const char *url = mg_domain_setting(domain, setting_of(q, ids[i]));

        if (url && *url)
            json_object_set_new(all, ids[i], url_json(url));
    }
    return api_reply_json(q, HTTP_OK, json_pack("{s:o}", "webhooks", all));
}

int api_webhooks_get(api_t *q)
{
    const char *setting = setting_of(q, q->args[1]), *url;
    mg_domain_t *domain;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    url = setting ? mg_domain_setting(domain, setting) : NULL;
    if (!url || !*url)
        return not_found(q);
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:o}", "webhook", url_json(url)));
}

/* POST, PUT, DELETE */

typedef struct {
    api_t *q;
    const char *setting, *url;  /* url: "" removes */
    int is_new;                 /* else there must be one */
    const char *was;            /* what it was; "" */
} change_t;

/* Whoever wants to be told of opens and clicks wants them tracked; whoever does
 * not any more does not. */
static apr_status_t track(mg_db_t *db, const change_t *change,
                          const mg_domain_t *domain, apr_pool_t *ptemp)
{
    const char *setting, *error, *now;
    int wanted = *change->url != '\0', is_on;

    if (strcmp(change->setting, "webhook.open") == 0)
        setting = "track_opens";
    else if (strcmp(change->setting, "webhook.click") == 0)
        setting = "track_clicks";
    else
        return APR_SUCCESS;
    now = mg_domain_setting(domain, setting);
    is_on = strcmp(now, "no") != 0 && strcmp(now, "false") != 0;
    if (is_on == wanted || (wanted && !change->is_new))
        return APR_SUCCESS; /* "htmlonly" is on, too */
    return mg_domain_set(db, domain->id, setting, wanted ? "yes" : "no",
                         &error, ptemp);
}

static apr_status_t run_change(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    change_t *change = baton;
    const char *error, *was;
    mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_by_id(&domain, db, change->q->domain.id, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    was = mg_domain_setting(domain, change->setting);
    if (change->is_new && *was)
        return APR_EEXIST;
    if (!change->is_new && !*was)
        return APR_ENOENT;
    change->was = apr_pstrdup(change->q->p, was);
    rv = mg_domain_set(db, domain->id, change->setting, change->url, &error,
                       ptemp);
    return rv == APR_SUCCESS ? track(db, change, domain, ptemp) : rv;
}

/* After a COMMIT whose answer was lost. */
static apr_status_t is_changed(mg_db_t *db, void *baton)
{
    const change_t *change = baton;
    mg_domain_t *domain;
    apr_status_t rv = mg_domain_by_id(&domain, db, change->q->domain.id,
                                      change->q->p);

    if (rv != APR_SUCCESS)
        return rv;
    return strcmp(mg_domain_setting(domain, change->setting), change->url)
               ? APR_ENOENT : APR_SUCCESS;
}

/* 1: answered */
static int change(api_t *q, change_t *c)
{
    apr_status_t rv = api_unit(q, run_change, is_changed, c);

    if (rv == APR_EEXIST)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Webhook for '%s' already exists",
                                 c->setting + strlen("webhook."));
    if (rv == APR_ENOENT)
        return not_found(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a webhook");
    return API_GO_ON;
}

/* The url parameter, checked as the setting is. */
static int read_url(api_t *q, change_t *c)
{
    const char *url = api_param(q, "url"), *wrong;

    if (!url || !*url)
        return missing(q, "url");
    wrong = mg_domain_setting_check(c->setting, &url, q->p);
    if (wrong)
        return api_reply_message(q, HTTP_BAD_REQUEST, "url: %s", wrong);
    c->url = url;
    return API_GO_ON;
}

int api_webhooks_create(api_t *q)
{
    const char *id = api_param(q, "id");
    change_t c = { .q = q, .setting = setting_of(q, id), .is_new = 1 };
    mg_domain_t *domain;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    if (!id || !*id)
        return missing(q, "id");
    if (!c.setting)
        return api_reply_message(
            q, HTTP_BAD_REQUEST, "Invalid id '%s'. It can be any of: 'bounce',"
            " 'click', 'deliver', 'drop', 'open', 'spam', 'unsubscribe'.", id);
    if (read_url(q, &c) || change(q, &c))
        return API_REPLIED;
    return reply_changed(q, "created", id, c.url);
}

int api_webhooks_update(api_t *q)
{
    change_t c = { .q = q, .setting = setting_of(q, q->args[1]) };
    mg_domain_t *domain;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    if (!c.setting)
        return not_found(q);
    if (read_url(q, &c) || change(q, &c))
        return API_REPLIED;
    return reply_changed(q, "updated", q->args[1], c.url);
}

int api_webhooks_delete(api_t *q)
{
    change_t c = { .q = q, .setting = setting_of(q, q->args[1]), .url = "" };
    mg_domain_t *domain;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    if (!c.setting)
        return not_found(q);
    if (change(q, &c))
        return API_REPLIED;
    return reply_changed(q, "deleted", q->args[1], c.was ? c.was : "");
}
