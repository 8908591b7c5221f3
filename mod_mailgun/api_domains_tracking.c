/* api_domains_tracking.c - /domains/<domain>/tracking (v3): the settings that
 * say what of its mail is tracked, by another name (mg_tracking.h). */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_status.h"

#define PARAMS_MAX 3

typedef struct {
    const char *kind;
    struct {
        const char *param, *setting;
    } takes[PARAMS_MAX];
} kind_t;

static const kind_t kinds[] = {
    { "open", { { "active", "track_opens" } } },
    { "click", { { "active", "track_clicks" } } },
    { "unsubscribe", { { "active", "unsubscribe" },
                       { "html_footer", "unsubscribe_html" },
                       { "text_footer", "unsubscribe_text" } } },
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* as JSON */

static json_t *kind_json(const mg_domain_t *domain, const kind_t *kind)
{
    mg_tracking_t said;

    mg_tracking_of_domain(&said, domain, 0);
    if (strcmp(kind->kind, "open") == 0)
        return json_pack("{s:b}", "active", said.opens);
    if (strcmp(kind->kind, "click") == 0)
        return json_pack("{s:o}", "active",
                         said.clicks == MG_CLICKS_HTMLONLY
                             ? json_string("htmlonly")
                             : json_boolean(said.clicks == MG_CLICKS_YES));
    return json_pack("{s:b, s:s, s:s}", "active", said.unsubscribe,
                     "html_footer", mg_tracking_footer(domain, 1),
                     "text_footer", mg_tracking_footer(domain, 0));
}

int api_tracking_get(api_t *q)
{
    mg_domain_t *domain;
    json_t *tracking;
    int i;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    tracking = json_object();
    for (i = 0; i < KINDS; i++)
        json_object_set_new(tracking, kinds[i].kind,
                            kind_json(domain, &kinds[i]));
    return api_reply_json(q, HTTP_OK, json_pack("{s:o}", "tracking",
                                                tracking));
}

/* PUT */

typedef struct {
    api_t *q;
    const kind_t *kind;
    const char *error;
} change_t;

static apr_status_t run_change(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    change_t *c = baton;
    apr_status_t rv = APR_SUCCESS;
    const char *error;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < PARAMS_MAX; i++) {
        const char *param = c->kind->takes[i].param;
        const char *value = param ? api_param(c->q, param) : NULL;

        if (!value)
            continue;
        rv = mg_domain_set(db, c->q->domain.id, c->kind->takes[i].setting,
                           value, &error, ptemp);
        if (rv == MG_EBADINPUT)
            c->error = apr_pstrdup(c->q->p, error);
    }
    return rv;
}

static int has_param(api_t *q, const kind_t *kind)
{
    int i;

    for (i = 0; i < PARAMS_MAX; i++)
        if (kind->takes[i].param && api_param(q, kind->takes[i].param))
            return 1;
    return 0;
}

int api_tracking_put(api_t *q)
{
    change_t change = { q, NULL, NULL };
    mg_domain_t *domain;
    apr_status_t rv;
    int i;

    for (i = 0; i < KINDS; i++)
        if (strcmp(q->args[1], kinds[i].kind) == 0)
            change.kind = &kinds[i];
    if (api_domains_load(q, &domain))
        return API_REPLIED;
    if (!change.kind)
        return api_reply_message(q, HTTP_NOT_FOUND, "There is open, click and "
                                 "unsubscribe");
    if (!has_param(q, change.kind))
        return api_reply_message(q, HTTP_BAD_REQUEST, "Parameter 'active' is "
                                 "missing");
    rv = api_unit(q, run_change, NULL, &change);
    if (change.error)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", change.error);
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a domain");
    mg_shared_bump(q->child->shared);
    if (api_domains_load(q, &domain))
        return API_REPLIED;
    return api_reply_json(
        q, HTTP_OK,
        json_pack("{s:s, s:o}", "message",
                  "Domain tracking settings have been updated",
                  change.kind->kind, kind_json(domain, change.kind)));
}
