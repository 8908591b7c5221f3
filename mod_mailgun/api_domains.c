/* api_domains.c - /domains: list, show, add, change, remove. */
#include "api.h"

#include <apr_strings.h>
#include <string.h>

#include "mg_dns_rule.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

/* as JSON */

/* password: only the reply to POST knows it; we keep a hash. */
static json_t *domain_json(api_t *q, const mg_domain_t *domain,
                           const char *password)
{
    const char *wildcard = mg_domain_setting(domain, "wildcard");
    const char *spam = mg_domain_setting(domain, "spam_action");
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s?, s:b, s:s, s:s}", "name", domain->name,
        "created_at", mg_time_gmt(domain->created_at, q->p), "smtp_login",
        apr_pstrcat(q->p, "postmaster@", domain->name, NULL), "smtp_password",
        password, "wildcard", wildcard && mg_text_bool(wildcard) == 1,
        "spam_action", spam ? spam : "disabled", "state", domain->state);

    if (q->version == 3) {
        json_object_set_new(json, "type", json_string("custom"));
        json_object_set_new(json, "is_disabled",
                            json_boolean(strcmp(domain->state, "disabled") ==
                                         0));
    }
    return json;
}

static json_t *receiving_json(const mg_dns_record_t *r, apr_pool_t *p)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "record_type", "MX", "priority",
                     apr_itoa(p, r->priority), "valid", r->valid, "value",
                     r->value);
}

static json_t *sending_json(const mg_dns_record_t *r)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "record_type", r->type, "name",
                     r->name, "valid", r->valid, "value", r->value);
}

static void add_records(json_t *json, const apr_array_header_t *records,
                        apr_pool_t *p)
{
    json_t *receiving = json_array(), *sending = json_array();
    int i;

    for (i = 0; i < records->nelts; i++) {
        const mg_dns_record_t *r = &APR_ARRAY_IDX(records, i,
                                                  mg_dns_record_t);

        if (strcmp(r->type, "MX") == 0)
            json_array_append_new(receiving, receiving_json(r, p));
        else
            json_array_append_new(sending, sending_json(r));
    }
    json_object_set_new(json, "receiving_dns_records", receiving);
    json_object_set_new(json, "sending_dns_records", sending);
}

/* {"message":..., "domain":..., records}; message may be NULL. */
static int reply_domain(api_t *q, const char *message,
                        const mg_domain_t *domain, const char *password)
{
    apr_array_header_t *records;
    apr_status_t rv;
    json_t *json;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_dns_records(&records, q->config, q->db, domain, q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot read a domain's records");
    json = json_object();
    if (message)
        json_object_set_new(json, "message", json_string(message));
    json_object_set_new(json, "domain", domain_json(q, domain, password));
    add_records(json, records, q->p);
    return api_reply_json(q, HTTP_OK, json);
}

/* GET */

int api_domains_list(api_t *q)
{
    apr_array_header_t *domains;
    apr_int64_t skip, limit, total;
    apr_status_t rv;
    json_t *items;
    int i;

    if (api_paging(q, &skip, &limit) || api_reader(q))
        return API_REPLIED;
    rv = mg_domain_list(&domains, &total, q->db, q->account_id, skip, limit,
                        q->p);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot list domains");
    items = json_array();
    for (i = 0; i < domains->nelts; i++)
        json_array_append_new(
            items, domain_json(q, APR_ARRAY_IDX(domains, i, mg_domain_t *),
                               NULL));
    return api_reply_items(q, total, items);
}

/* Read anew: the cache may be older than the change this request made. */
int api_domains_load(api_t *q, mg_domain_t **pdomain)
{
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_domain_by_name(pdomain, q->db, q->args[0], q->p);
    if (rv == APR_ENOENT ||
        (rv == APR_SUCCESS && (*pdomain)->account_id != q->account_id))
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up a domain");
    q->domain.id = (*pdomain)->id;
    q->domain.name = (*pdomain)->name;
    q->domain.state = (*pdomain)->state;
    return API_GO_ON;
}

int api_domains_get(api_t *q)
{
    mg_domain_t *domain;

    return api_domains_load(q, &domain) || reply_domain(q, NULL, domain, NULL);
}

/* settings, for POST and PUT */

typedef struct {
    const char *name, *value;
} setting_t;

/* The parameters that name a setting. */
static apr_array_header_t *read_settings(api_t *q)
{
    apr_array_header_t *list = apr_array_make(q->p, 4, sizeof(setting_t));
    int n, i;
    const mg_domain_setting_t *known = mg_domain_settings(&n);

    for (i = 0; i < n; i++) {
        const char *value = api_param(q, known[i].name);

        if (value) {
            setting_t *s = apr_array_push(list);

            s->name = known[i].name;
            s->value = value;
        }
    }
    return list;
}

/* Before anything is written: what is wrong, or NULL. */
static const char *check_settings(const apr_array_header_t *settings,
                                  apr_pool_t *p)
{
    int n, i, k;
    const mg_domain_setting_t *known = mg_domain_settings(&n);

    for (i = 0; i < settings->nelts; i++) {
        const setting_t *s = &APR_ARRAY_IDX(settings, i, setting_t);

        for (k = 0; k < n; k++) {
            const char *value = s->value, *wrong = NULL;

            if (strcmp(known[k].name, s->name) == 0 && known[k].check)
                wrong = known[k].check(&value, p);
            if (wrong)
                return apr_pstrcat(p, s->name, ": ", wrong, NULL);
        }
    }
    return NULL;
}

static apr_status_t write_settings(mg_db_t *db, apr_int64_t domain_id,
                                   const apr_array_header_t *settings,
                                   apr_pool_t *ptemp)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < settings->nelts && rv == APR_SUCCESS; i++) {
        const setting_t *s = &APR_ARRAY_IDX(settings, i, setting_t);
        const char *error = NULL;

        rv = mg_domain_set(db, domain_id, s->name, s->value, &error, ptemp);
    }
    return rv;
}

/* POST */

typedef struct {
    api_t *q;
    const char *name, *password_hash;
    const mg_dkim_t *dkim;
    const apr_array_header_t *settings;
} create_t;

static apr_status_t run_create(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const create_t *create = baton;
    mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_add(&domain, db, create->q->child->secret,
                       create->q->account_id, create->name,
                       create->password_hash, create->dkim, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    return write_settings(db, domain->id, create->settings, ptemp);
}

/* After a COMMIT whose answer was lost: bcrypt's salt makes the hash ours. */
static apr_status_t is_created(mg_db_t *db, void *baton)
{
    const create_t *create = baton;

    return api_mailbox_has_hash(create->q, db,
                                apr_pstrcat(create->q->p, "postmaster@",
                                            create->name, NULL),
                                create->password_hash);
}

static int check_create(api_t *q, const char *name, const char *password,
                        const apr_array_header_t *settings)
{
    const char *wrong;

    if (!name || !*name)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'name' is missing");
    if (!password || !*password)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Parameter 'smtp_password' is missing");
    if (!mg_address_is_domain(name))
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' is not a valid domain name", name);
    if (api_check_password(q, password))
        return API_REPLIED;
    wrong = check_settings(settings, q->p);
    if (wrong)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", wrong);
    return API_GO_ON;
}

static int taken(api_t *q)
{
    return api_reply_message(q, HTTP_BAD_REQUEST,
                             "This domain name is already taken");
}

/* Before the slow part, so that a repeat costs nothing. */
static int check_free(api_t *q, const char *name)
{
    mg_domain_t *domain;
    apr_status_t rv;

    if (api_reader(q))
        return API_REPLIED;
    rv = mg_domain_by_name(&domain, q->db, name, q->p);
    api_reader_done(q);
    if (rv == APR_SUCCESS)
        return taken(q);
    if (rv != APR_ENOENT)
        return api_reply_failed(q, rv, "cannot look up a domain");
    return API_GO_ON;
}

int api_domains_create(api_t *q)
{
    const char *password = api_param(q, "smtp_password");
    create_t create = { .q = q, .name = api_param(q, "name"),
                        .settings = read_settings(q) };
    mg_domain_t *domain;
    mg_dkim_t *dkim;
    apr_status_t rv;

    if (check_create(q, create.name, password, create.settings) ||
        check_free(q, create.name))
        return API_REPLIED;
    if (!q->child->secret)
        return api_reply_failed(q, MG_ECRYPT, "no secret file: a domain "
                                              "cannot be added");
    create.password_hash = mg_password_hash(password, q->p);
    rv = mg_dkim_make(&dkim, q->p);
    create.dkim = dkim;
    if (rv == APR_SUCCESS)
        rv = api_unit(q, run_create, is_created, &create);
    if (rv == APR_EEXIST || rv == MG_ECONFLICT)
        return taken(q);
    if (rv == MG_EBADINPUT || rv == MG_EADDRESS)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'%s' is not a valid domain name",
                                 create.name);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot add a domain");
    mg_shared_bump(q->child->shared);
    mg_bell_ring(q->config->run_dir, MG_ROLE_KEEPER); /* looks at its DNS */
    mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: added", create.name);
    q->args[0] = create.name;
    return api_domains_load(q, &domain) ||
           reply_domain(q, "Domain has been created", domain, password);
}

/* PUT */

typedef struct {
    apr_int64_t domain_id;
    const apr_array_header_t *settings;
} update_t;

static apr_status_t run_update(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const update_t *update = baton;

    return write_settings(db, update->domain_id, update->settings, ptemp);
}

int api_domains_update(api_t *q)
{
    update_t update = { 0, read_settings(q) };
    mg_domain_t *domain;
    const char *wrong;
    apr_status_t rv;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    if (!update.settings->nelts)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "Need at least one setting of the domain");
    wrong = check_settings(update.settings, q->p);
    if (wrong)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", wrong);
    update.domain_id = domain->id;
    rv = api_unit(q, run_update, NULL, &update);
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot change a domain");
    mg_shared_bump(q->child->shared);
    return api_domains_load(q, &domain) ||
           reply_domain(q, "Domain has been updated", domain, NULL);
}

/* PUT /domains/<domain>/verify (v3) */

/* The keeper looks; usually that takes as long as a resolver does. */
#define VERIFY_WAIT apr_time_from_sec(5)
#define VERIFY_STEP apr_time_from_msec(50)

static apr_status_t run_ask(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const api_t *q = baton;

    (void)ptemp;
    return mg_dns_ask(db, q->domain.id);
}

/* @return when the last look began; 0: never, or the store fails */
static apr_time_t last_look(api_t *q)
{
    apr_time_t at = 0;

    if (mg_dns_checked(&at, q->db, q->domain.id) != APR_SUCCESS)
        at = 0;
    return at;
}

int api_domains_verify(api_t *q)
{
    apr_time_t before, until = mg_ticks() + VERIFY_WAIT;
    mg_domain_t *domain;
    apr_status_t rv;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    before = last_look(q);
    rv = api_unit(q, run_ask, NULL, q);
    if (rv == APR_ENOENT) /* removed meanwhile */
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot verify a domain");
    mg_bell_ring(q->config->run_dir, MG_ROLE_KEEPER);
    do {
        api_reader_done(q); /* no transaction of ours stays open */
        apr_sleep(VERIFY_STEP);
        if (api_reader(q))
            return API_REPLIED;
    } while (last_look(q) == before && mg_ticks() < until);
    api_reader_done(q);
    return api_domains_load(q, &domain) ||
           reply_domain(q, "Domain DNS records have been updated", domain,
                        NULL);
}

/* DELETE */

/* What is queued goes first, a few hundred rows to a unit: others commit in
 * between. What is accepted meanwhile goes with the domain. */
enum { DROP_UNITS_MAX = 20000 };

typedef struct {
    api_t *q;
    int more;
} drop_t;

static apr_status_t run_drop(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    drop_t *drop = baton;

    api_child_context(drop->q->child, db);
    return mg_domain_drop_queued(&drop->more, db, drop->q->domain.id, ptemp);
}

static apr_status_t drop_queued(api_t *q)
{
    drop_t drop = { q, 0 };
    apr_status_t rv;
    int i = 0;

    do {
        rv = api_unit(q, run_drop, NULL, &drop);
    } while (rv == APR_SUCCESS && drop.more && ++i < DROP_UNITS_MAX);
    return rv;
}

static apr_status_t run_delete(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const api_t *q = baton;

    api_child_context(q->child, db); /* what is queued is dropped: events */
    return mg_domain_remove(db, q->domain.id, ptemp);
}

static apr_status_t is_deleted(mg_db_t *db, void *baton)
{
    const api_t *q = baton;
    mg_domain_t *domain;
    apr_status_t rv = mg_domain_by_id(&domain, db, q->domain.id, q->p);

    if (rv == APR_ENOENT)
        return APR_SUCCESS;
    return rv == APR_SUCCESS ? APR_ENOENT : rv;
}

int api_domains_delete(api_t *q)
{
    mg_domain_t *domain;
    apr_status_t rv;

    if (api_domains_load(q, &domain))
        return API_REPLIED;
    rv = drop_queued(q);
    if (rv == APR_SUCCESS)
        rv = api_unit(q, run_delete, is_deleted, q);
    if (rv == APR_ENOENT)
        return api_reply_message(q, HTTP_NOT_FOUND, "Domain not found");
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot remove a domain");
    mg_shared_bump(q->child->shared);
    mg_log(MG_LOG_INFO, APR_SUCCESS, "domain %s: removed", q->domain.name);
    return api_reply_message(q, HTTP_OK, "Domain has been deleted");
}
