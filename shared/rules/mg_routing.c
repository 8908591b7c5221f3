/* mg_routing.c - who gets a message: one recipient's deliveries. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_mailbox.h"
#include "mg_mime.h"
#include "mg_queue.h"
#include "mg_route.h"
#include "mg_routing_private.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_stored.h"
#include "mg_text.h"
#include "mg_time.h"

/* As in mg_domain_cache.c: where nobody can tell us of a change. */
#define FRESH_FOR APR_TIME_C(1000000)
/* Compiled rules take some 10 KB each, in every thread of httpd. */
#define ACCOUNTS_MAX 500

typedef struct {
    apr_pool_t *pool;
    mg_ruleset_t *rules;
    apr_int64_t account_id, revision;
    apr_uint32_t generation;
    apr_time_t checked;      /* mg_ticks() */
} compiled_t;

mg_routing_t *mg_routing_create(mg_domain_cache_t *domains,
                                mg_shared_t *shared,
                                const unsigned char *verp_key, apr_pool_t *p)
{
    mg_routing_t *routing = apr_pcalloc(p, sizeof(*routing));

    apr_pool_create(&routing->pool, p);
    routing->domains = domains;
    routing->shared = shared;
    if (verp_key) {
        memcpy(routing->verp_key, verp_key, sizeof(routing->verp_key));
        routing->has_verp_key = 1;
    }
    routing->accounts = apr_hash_make(routing->pool);
    return routing;
}

void mg_routing_reports(mg_routing_t *routing, const char *feedback,
                        const mg_track_keys_t *tracking)
{
    routing->feedback = feedback && *feedback ? feedback : NULL;
    routing->tracking = tracking;
}

/* --- routes, compiled per account --- */

static apr_status_t compile_account(compiled_t *c, mg_db_t *db,
                                    apr_int64_t account_id)
{
    apr_array_header_t *routes;
    apr_pool_t *ptemp;
    apr_status_t rv;

    apr_pool_clear(c->pool);
    c->rules = NULL;
    apr_pool_create(&ptemp, c->pool);
    rv = mg_route_list(&routes, db, account_id, ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_ruleset_compile(&c->rules, routes, c->pool);
    apr_pool_destroy(ptemp);
    return rv;
}

static compiled_t *add_account(mg_routing_t *routing, apr_int64_t account_id)
{
    compiled_t *c;

    if (apr_hash_count(routing->accounts) >= ACCOUNTS_MAX) {
        apr_pool_clear(routing->pool);
        routing->accounts = apr_hash_make(routing->pool);
    }
    c = apr_pcalloc(routing->pool, sizeof(*c));
    c->account_id = account_id;
    apr_pool_create(&c->pool, routing->pool);
    apr_hash_set(routing->accounts, &c->account_id, sizeof(c->account_id), c);
    return c;
}

apr_status_t mg_routing_rules(const mg_ruleset_t **prules,
                              mg_routing_t *routing, mg_db_t *db,
                              apr_int64_t account_id)
{
    apr_uint32_t generation =
        routing->shared ? mg_shared_generation(routing->shared) : 0;
    compiled_t *c = apr_hash_get(routing->accounts, &account_id,
                                 sizeof(account_id));
    apr_time_t ticks = mg_ticks();
    apr_int64_t revision = 0;
    apr_status_t rv;

    *prules = NULL;
    if (c && c->rules && c->generation == generation &&
        ticks - c->checked <= FRESH_FOR) {
        *prules = c->rules;
        return APR_SUCCESS;
    }
    /* read before the routes: a change in between is seen the next time */
    rv = mg_db_get_int(db, &revision, "SELECT revision FROM account"
                       " WHERE id = $1", "i", account_id);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    if (!c)
        c = add_account(routing, account_id);
    if (!c->rules || c->revision != revision) {
        rv = compile_account(c, db, account_id);
        if (rv != APR_SUCCESS)
            return rv;
        c->revision = revision;
    }
    c->generation = generation;
    c->checked = ticks;
    *prules = c->rules;
    return APR_SUCCESS;
}

/* --- deliveries --- */

mg_envelope_t *mg_routing_add(apr_array_header_t *envelopes,
                              mg_transport_kind_t transport,
                              const char *recipient, const char *as_given)
{
    mg_envelope_t *e = apr_array_push(envelopes);

    memset(e, 0, sizeof(*e));
    e->id = mg_id_next();
    e->transport = transport;
    e->recipient = recipient;
    e->recipient_as_given = as_given && *as_given ? as_given : recipient;
    return e;
}

static const char *domain_of(const char *address, apr_pool_t *p)
{
    const char *at = strrchr(address, '@');

    return at ? mg_text_lower(at + 1, p) : "";
}

mg_envelope_t *mg_routing_add_smtp(apr_array_header_t *envelopes,
                                   const char *recipient,
                                   const char *as_given, apr_pool_t *p)
{
    mg_envelope_t *e = mg_routing_add(envelopes, MG_TRANSPORT_SMTP, recipient,
                                    as_given);

    e->dest = domain_of(recipient, p);
    return e;
}

static apr_status_t add_mailbox(apr_array_header_t *envelopes, mg_db_t *db,
                                const char *address, const char *recipient,
                                const char *as_given, apr_pool_t *p)
{
    mg_mailbox_t *mailbox;
    apr_status_t rv = mg_mailbox_by_address(&mailbox, db, address, p);

    if (rv != APR_SUCCESS)
        return rv;
    mg_routing_add(envelopes, MG_TRANSPORT_LMTP, recipient, as_given)->dest =
        apr_psprintf(p, "%" APR_INT64_T_FMT, mailbox->id);
    return APR_SUCCESS;
}

/* --- what was forwarded and comes back --- */

const char *mg_routing_loop_mark(const mg_routing_t *routing,
                                 const char *address, apr_pool_t *p)
{
    const char *text = apr_pstrcat(p, "loop|", mg_text_lower(address, p),
                                   NULL);
    unsigned char mac[32];

    if (!routing->has_verp_key)
        return NULL;
    mg_hmac_sha256(mac, routing->verp_key, sizeof(routing->verp_key), text,
                   strlen(text));
    return mg_text_hex(mac, 12, p);
}

static int comes_back(const mg_routing_t *routing, const char *address,
                      const apr_array_header_t *headers, apr_pool_t *p)
{
    const char *mark = NULL;
    int i;

    for (i = 0; headers && i < headers->nelts; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

        if (strcasecmp(h->name, MG_ROUTING_LOOP) != 0)
            continue;
        if (!mark)
            mark = mg_routing_loop_mark(routing, address, p);
        if (mark && strcmp(h->value, mark) == 0)
            return 1;
    }
    return 0;
}

static void add_action(apr_array_header_t *envelopes,
                       const mg_action_t *action, const mg_address_t *to,
                       apr_pool_t *p)
{
    mg_envelope_t *e;

    if (action->kind == MG_ACTION_STORE) {
        e = mg_routing_add(envelopes, MG_TRANSPORT_HTTP, to->address,
                         to->as_given);
        e->stored_key = mg_stored_key(p);
        e->payload = apr_psprintf(p, "{\"stored\":\"%s\"}", e->stored_key);
    }
    else if (action->kind == MG_ACTION_FORWARD_ADDRESS) {
        e = mg_routing_add_smtp(envelopes, action->target, action->target, p);
        e->came_to = to->address;
        e->came_to_as_given = to->as_given;
    }
    else {
        e = mg_routing_add(envelopes, MG_TRANSPORT_HTTP, to->address,
                         to->as_given);
    }
    if (e->transport == MG_TRANSPORT_HTTP && action->target) {
        e->target = action->target;
        e->dest = mg_queue_url_dest(action->target, p);
    }
    if (!e->dest)
        e->dest = "";
    e->filter = action->filter;
    e->route_id = action->route_id;
}

static apr_status_t add_routes(apr_array_header_t *envelopes,
                               const mg_wanted_t *wanted,
                               mg_routing_t *routing, mg_db_t *db,
                               const apr_array_header_t *headers,
                               apr_pool_t *p)
{
    const mg_ruleset_t *rules;
    int before = envelopes->nelts, looped, left_out = 0, i;
    apr_array_header_t *actions;
    apr_status_t rv;

    rv = mg_routing_rules(&rules, routing, db, wanted->account_id);
    if (rv != APR_SUCCESS)
        return rv;
    actions = mg_ruleset_apply(rules, wanted->to->address, headers, p);
    looped = comes_back(routing, wanted->to->address, headers, p);
    for (i = 0; i < actions->nelts; i++) {
        const mg_action_t *action = &APR_ARRAY_IDX(actions, i, mg_action_t);

        if (!looped || action->kind != MG_ACTION_FORWARD_ADDRESS)
            add_action(envelopes, action, wanted->to, p);
        else
            left_out = 1;
    }
    return left_out && envelopes->nelts == before ? MG_ELIMIT : APR_SUCCESS;
}

/* What can want a recipient in a domain of ours.
 * @return APR_ENOENT: nothing does */
static apr_status_t look_hosted(mg_wanted_t *wanted, mg_routing_t *routing,
                                mg_db_t *db, const mg_domain_t *domain,
                                apr_pool_t *p)
{
    const mg_address_t *to = wanted->to;
    const mg_ruleset_t *rules;
    apr_status_t rv;

    if (!strcmp(domain->state, "disabled"))
        return APR_ENOENT;
    rv = mg_routing_add_ours(wanted->sure, routing, db, domain, to, p);
    if (rv != APR_ENOENT)
        return rv == MG_EDENIED ? APR_ENOENT : rv;
    rv = add_mailbox(wanted->sure, db, to->address, to->address, to->as_given,
                     p);
    if (rv == APR_SUCCESS || rv == APR_ENOENT)
        rv = mg_routing_rules(&rules, routing, db, domain->account_id);
    if (rv == APR_SUCCESS && !wanted->list)
        rv = mg_routing_find_list(&wanted->list, db, to, 0, p);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    wanted->routes = mg_ruleset_wants(rules, to->address, p);
    return wanted->routes != MG_RULES_NO || wanted->sure->nelts > 0
                   || wanted->list
               ? APR_SUCCESS : APR_ENOENT;
}

/* Outgoing: the domain, or APR_ENOENT without asking the store again. */
static apr_status_t find_or_foreign(const mg_domain_t **pdomain,
                                    mg_routing_t *routing, mg_db_t *db,
                                    const char *name)
{
    apr_ssize_t len = (apr_ssize_t)strlen(name);
    apr_time_t now = mg_ticks();
    apr_uint32_t generation;
    foreign_t *f;
    apr_status_t rv;

    /* without a shared state nobody tells of new domains */
    if (!routing->shared || len >= FOREIGN_NAME)
        return mg_domain_cached_by_name(pdomain, routing->domains, db, name);
    generation = mg_shared_generation(routing->shared);
    f = &routing->foreign[apr_hashfunc_default(name, &len) % FOREIGN_MAX];
    if (f->asked && f->generation == generation &&
        now - f->asked <= FRESH_FOR && !strcmp(f->name, name))
        return APR_ENOENT;
    rv = mg_domain_cached_by_name(pdomain, routing->domains, db, name);
    if (rv == APR_ENOENT) {
        apr_cpystrn(f->name, name, sizeof(f->name));
        f->generation = generation;
        f->asked = now;
    }
    return rv;
}

enum { STAYS, LEAVES, DEPENDS };

/* Does this account's mail for a domain we host stay here? What another
 * account says of its domain is no reason: DNS must say so, too. */
static int stays(const mg_domain_t *domain, apr_int64_t account_id)
{
    const char *local = mg_domain_setting(domain, "local");

    if (!strcmp(local, "yes") && domain->account_id == account_id)
        return STAYS;
    if (!strcmp(local, "no"))
        return LEAVES;
    /* what DNS said; nobody looked yet, or no answer: where it is wanted */
    return domain->mx == MG_MX_OURS        ? STAYS
           : domain->mx == MG_MX_ELSEWHERE ? LEAVES
                                           : DEPENDS;
}

/* To a mailbox that is not there: it fails like one that was deleted, instead
 * of coming back to ourselves by our own MX. */
static void add_nobody(apr_array_header_t *envelopes, const mg_address_t *to)
{
    mg_routing_add(envelopes, MG_TRANSPORT_LMTP, to->address, to->as_given)
        ->dest = "0";
}

static apr_status_t look_outgoing(mg_wanted_t *wanted, mg_routing_t *routing,
                                  mg_db_t *db, const mg_domain_t *domain,
                                  apr_int64_t account_id, apr_pool_t *p)
{
    int where = domain ? stays(domain, account_id) : LEAVES;
    apr_status_t rv = APR_ENOENT;

    if (domain && strcmp(domain->state, "disabled") != 0) {
        rv = mg_routing_find_list(&wanted->list, db, wanted->to, account_id,
                                  p);
        if (rv == APR_SUCCESS && wanted->list->account_id != account_id) {
            wanted->list = NULL;
            where = LEAVES;
        }
        if (rv != APR_SUCCESS && rv != APR_ENOENT)
            return rv;
    }
    rv = APR_ENOENT;
    wanted->otherwise = where == STAYS ? MG_OTHERWISE_NOBODY
                                       : MG_OTHERWISE_LEAVES;
    if (where != LEAVES)
        rv = look_hosted(wanted, routing, db, domain, p);
    else if (domain && strcmp(domain->state, "disabled") != 0)
        rv = mg_routing_add_signed(wanted->sure, routing, db, domain,
                                   wanted->to, p);
    return rv == MG_EDENIED || rv == APR_ENOENT ? APR_SUCCESS : rv;
}

static void set_domain(mg_wanted_t *wanted, const mg_domain_t *domain,
                       apr_pool_t *p)
{
    wanted->account_id = domain->account_id;
    wanted->domain_id = domain->id;
    wanted->domain = apr_pstrdup(p, domain->name);
}

apr_status_t mg_routing_look(mg_wanted_t *wanted, mg_routing_t *routing,
                             mg_db_t *db, const mg_address_t *recipient,
                             int way, apr_int64_t account_id, apr_pool_t *p)
{
    const mg_domain_t *domain;
    apr_status_t rv;

    memset(wanted, 0, sizeof(*wanted));
    wanted->to = recipient;
    wanted->sure = apr_array_make(p, 1, sizeof(mg_envelope_t));
    /* "postmaster" without a domain: which of the domains? none of them */
    if (!recipient->domain || !*recipient->domain)
        return APR_ENOENT;
    if (way == MG_ROUTING_OUTGOING)
        rv = find_or_foreign(&domain, routing, db, recipient->domain);
    else
        rv = mg_domain_cached_by_name(&domain, routing->domains, db,
                                      recipient->domain);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    if (rv == APR_ENOENT)
        domain = NULL;
    else
        set_domain(wanted, domain, p);
    if (way == MG_ROUTING_OUTGOING)
        return look_outgoing(wanted, routing, db, domain, account_id, p);
    return domain ? look_hosted(wanted, routing, db, domain, p) : MG_EDENIED;
}

apr_status_t mg_routing_decide(apr_array_header_t *envelopes,
                               const mg_wanted_t *wanted,
                               mg_routing_t *routing, mg_db_t *db,
                               const char *sender,
                               const apr_array_header_t *headers,
                               apr_pool_t *p)
{
    int before = envelopes->nelts, looped = 0;
    apr_status_t rv = APR_SUCCESS;

    apr_array_cat(envelopes, wanted->sure);
    if (wanted->routes != MG_RULES_NO)
        rv = add_routes(envelopes, wanted, routing, db, headers, p);
    looped |= rv == MG_ELIMIT;
    if (wanted->list && (rv == APR_SUCCESS || rv == MG_ELIMIT))
        rv = mg_routing_add_list(envelopes, wanted, db, sender, headers, p);
    looped |= rv == MG_ELIMIT;
    if (rv != APR_SUCCESS && rv != MG_ELIMIT && rv != APR_ENOENT)
        return rv;
    if (envelopes->nelts > before)
        return APR_SUCCESS;
    if (wanted->otherwise == MG_OTHERWISE_REFUSE)
        return looped ? MG_ELIMIT : APR_ENOENT;
    if (wanted->otherwise == MG_OTHERWISE_NOBODY)
        add_nobody(envelopes, wanted->to);
    else
        mg_routing_add_smtp(envelopes, wanted->to->address,
                            wanted->to->as_given, p);
    return APR_SUCCESS;
}

apr_status_t mg_routing_recipient(apr_array_header_t *envelopes,
                                  mg_routing_t *routing, mg_db_t *db,
                                  const mg_address_t *recipient,
                                  const char *sender,
                                  const apr_array_header_t *headers, int way,
                                  apr_int64_t account_id, apr_pool_t *p)
{
    mg_wanted_t wanted;
    apr_status_t rv = mg_routing_look(&wanted, routing, db, recipient, way,
                                      account_id, p);

    if (rv == APR_SUCCESS)
        rv = mg_routing_decide(envelopes, &wanted, routing, db, sender,
                               headers, p);
    return rv;
}
