/* sender_sign.c - see sender_sign.h. */
#include <apr_strings.h>
#include <string.h>

#include "mg_arc.h"
#include "mg_dkim.h"
#include "mg_dkim_key.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "sender.h"
#include "sender_sign.h"

#define DOMAINS_MAX 1000       /* whose keys are open, of 10 KB each */
#define STEP_BYTES MG_CONTENT_SLICE
#define TURN_MAX 4000          /* microseconds of signing in a turn */
#define ROOM_RSA 1100          /* octets of a field, about */
#define ROOM_ED25519 850
#define ROOM_SET 2500          /* of an ARC set */

/* A domain's keys, as of a revision of it. */
typedef struct {
    apr_int64_t domain_id, revision;
    apr_pool_t *pool;
    mg_dkim_signer_t *signers[MG_DKIM_ALGORITHMS];
    int n;
    int refs, dropped;
} keys_t;

struct sender_signers_t {
    sender_t *s;
    apr_pool_t *pool;
    apr_hash_t *domains;       /* id -> keys_t */
    apr_interval_time_t spent; /* in this turn */
};

struct sender_signing_t {
    keys_t *keys;
    mg_dkim_content_t *content; /* NULL: nothing was read yet */
};

sender_signers_t *sender_signers_create(sender_t *s, apr_pool_t *p)
{
    sender_signers_t *all = apr_pcalloc(p, sizeof(*all));

    all->s = s;
    apr_pool_create(&all->pool, p);
    all->domains = apr_hash_make(all->pool);
    return all;
}

void sender_signers_turn(sender_signers_t *signers)
{
    signers->spent = 0;
}

/* --- keys --- */

static void keys_drop(sender_signers_t *all, keys_t *keys)
{
    apr_hash_set(all->domains, &keys->domain_id, sizeof(keys->domain_id),
                 NULL);
    keys->dropped = 1;
    if (keys->refs == 0)
        apr_pool_destroy(keys->pool);
}

static void drop_all(sender_signers_t *all)
{
    apr_hash_index_t *hi;
    void *keys;

    for (hi = apr_hash_first(NULL, all->domains); hi; hi = apr_hash_next(hi)) {
        apr_hash_this(hi, NULL, NULL, &keys);
        keys_drop(all, keys);
    }
}

static apr_status_t open_all(keys_t *keys, sender_t *s,
                             const mg_domain_t *domain)
{
    apr_array_header_t *list;
    apr_pool_t *ptemp;
    const char *name;
    apr_status_t rv;
    int i;

    apr_pool_create(&ptemp, keys->pool);
    name = dns_ascii(domain->name_lc, ptemp);
    rv = mg_dkim_open(&list, s->db, s->worker->secret, domain->id, ptemp);
    for (i = 0; rv == APR_SUCCESS && name && i < list->nelts; i++) {
        const mg_dkim_private_t *key = &APR_ARRAY_IDX(list, i,
                                                      mg_dkim_private_t);
        mg_dkim_signer_t *signer;

        if (keys->n == MG_DKIM_ALGORITHMS)
            break;
        rv = mg_dkim_signer_make(&signer, name, key->selector, key->der,
                                 key->len, keys->pool);
        if (rv == APR_SUCCESS
            && s->config->dkim & 1u << mg_dkim_signer_algorithm(signer))
            keys->signers[keys->n++] = signer;
    }
    apr_pool_destroy(ptemp); /* which wipes what was opened */
    return rv;
}

/* RSA on top: who looks at the first signature alone can read that one. */
static void sort_keys(keys_t *keys)
{
    mg_dkim_signer_t *first = keys->signers[0];

    if (keys->n == 2 && mg_dkim_signer_algorithm(first) != MG_DKIM_RSA) {
        keys->signers[0] = keys->signers[1];
        keys->signers[1] = first;
    }
}

/* @return an error of the store. Keys that do not open sign nothing: that is
 * said once, and again when something of the domain changes. */
static apr_status_t keys_of(keys_t **pkeys, sender_signers_t *all,
                            const mg_domain_t *domain)
{
    keys_t *keys = apr_hash_get(all->domains, &domain->id, sizeof(domain->id));
    apr_pool_t *p;
    apr_status_t rv;

    *pkeys = keys;
    if (keys && keys->revision == domain->revision)
        return APR_SUCCESS;
    if (keys)
        keys_drop(all, keys);
    if (apr_hash_count(all->domains) >= DOMAINS_MAX)
        drop_all(all);
    apr_pool_create(&p, all->pool);
    keys = apr_pcalloc(p, sizeof(*keys));
    keys->pool = p;
    keys->domain_id = domain->id;
    keys->revision = domain->revision;
    rv = open_all(keys, all->s, domain);
    if (rv == MG_ECRYPT) {
        mg_log(MG_LOG_ERR, rv, "domain %s: its DKIM keys do not open: its mail "
               "is not signed", domain->name);
        keys->n = 0;
    }
    else if (!sender_store_works(all->s, rv)) {
        apr_pool_destroy(p);
        return rv;
    }
    sort_keys(keys);
    apr_hash_set(all->domains, &keys->domain_id, sizeof(keys->domain_id),
                 keys);
    *pkeys = keys;
    return APR_SUCCESS;
}

static apr_status_t keys_let_go(void *baton)
{
    keys_t *keys = baton;

    if (--keys->refs == 0 && keys->dropped)
        apr_pool_destroy(keys->pool);
    return APR_SUCCESS;
}

/* --- whether --- */

static int is_wanted(const sender_copy_t *copy, const mg_domain_t *domain)
{
    int said = copy->message->sending.dkim;
    const char *setting = mg_domain_setting(domain, "dkim");

    return said >= 0 ? said : strcmp(setting ? setting : "true", "true") == 0;
}

apr_status_t sender_sign_begin(sender_copy_t *copy)
{
    sender_t *s = copy->sender;
    const mg_message_t *m = copy->message->row;
    const mg_domain_t *domain;
    keys_t *keys;
    apr_status_t rv;

    copy->signature = "";
    if (m->direction == MG_OUTGOING ? s->config->dkim == 0
                                          || copy->message->sending.dkim == 0
                                    : !s->config->arc)
        return APR_SUCCESS;
    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                m->domain_id);
    if (APR_STATUS_IS_ENOENT(rv))
        return APR_SUCCESS; /* removed meanwhile, and its keys with it */
    if (!sender_store_works(s, rv))
        return rv;
    if (m->direction == MG_OUTGOING && !is_wanted(copy, domain))
        return APR_SUCCESS;
    if (!copy->who.delivery && copy->message->signature) {
        copy->signature = apr_pstrdup(copy->pool, copy->message->signature);
        return APR_SUCCESS;
    }
    rv = keys_of(&keys, s->signers, domain);
    if (rv != APR_SUCCESS || keys->n == 0)
        return rv;
    copy->signing = apr_pcalloc(copy->pool, sizeof(*copy->signing));
    copy->signing->keys = keys;
    keys->refs++;
    apr_pool_cleanup_register(copy->pool, keys, keys_let_go,
                              apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_int64_t sender_sign_room(const sender_copy_t *copy)
{
    apr_int64_t room = 0;
    int i;

    for (i = 0; copy->signing && i < copy->signing->keys->n; i++)
        room += copy->message->row->direction != MG_OUTGOING ? ROOM_SET
                : mg_dkim_signer_algorithm(copy->signing->keys->signers[i])
                        == MG_DKIM_RSA ? ROOM_RSA : ROOM_ED25519;
    return room;
}

/* --- signing --- */

/* What a route sends on: an ARC set by one key, RSA where there is one. */
static apr_status_t make_set(sender_copy_t *copy)
{
    sender_signing_t *signing = copy->signing;
    apr_size_t len;
    apr_status_t rv;

    copy->signature = "";
    rv = mg_dkim_content_end(signing->content);
    if (rv == APR_SUCCESS)
        rv = mg_arc_seal(&copy->signature, &len, signing->keys->signers[0],
                         signing->content, copy->sender->config->hostname,
                         copy->message->row->created_at, copy->pool);
    if (rv != APR_SUCCESS)
        copy->signature = "";
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

static apr_status_t make_fields(sender_copy_t *copy)
{
    sender_signing_t *signing = copy->signing;
    const char *field, *all = "";
    apr_size_t len;
    apr_status_t rv;
    int i;

    rv = mg_dkim_content_end(signing->content);
    for (i = 0; rv == APR_SUCCESS && i < signing->keys->n; i++) {
        rv = mg_dkim_sign(&field, &len, signing->keys->signers[i],
                          signing->content, copy->message->row->created_at,
                          copy->pool);
        if (rv == APR_SUCCESS)
            all = *all ? apr_pstrcat(copy->pool, all, field, NULL) : field;
    }
    copy->signature = rv == APR_SUCCESS ? all : "";
    return rv;
}

static void sign(sender_copy_t *copy)
{
    sender_message_t *m = copy->message;
    apr_status_t rv = m->row->direction == MG_OUTGOING ? make_fields(copy)
                                                       : make_set(copy);

    if (rv == MG_EBADINPUT)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "message %" APR_INT64_T_FMT
               " is not signed: it has no From, or a header block of over %d "
               "octets or %d fields", m->id, MG_DKIM_HEADER_MAX,
               MG_DKIM_FIELDS_MAX);
    else if (rv != APR_SUCCESS)
        mg_log(MG_LOG_ERR, rv, "message %" APR_INT64_T_FMT " is not signed",
               m->id);
    if (!copy->who.delivery && !m->signature)
        m->signature = apr_pstrdup(m->pool, copy->signature);
    copy->signing = NULL;
}

/* One more slice; APR_EOF: that was all. */
static apr_status_t feed(sender_copy_t *copy)
{
    const char *bytes;
    apr_size_t len, fed = 0;
    apr_status_t rv = APR_SUCCESS;

    while (fed < STEP_BYTES
           && (rv = sender_copy_next(&bytes, &len, copy)) == APR_SUCCESS) {
        mg_dkim_content_feed(copy->signing->content, bytes, len);
        fed += len;
    }
    return rv;
}

apr_status_t sender_sign_step(sender_copy_t *copy)
{
    sender_signers_t *all = copy->sender->signers;
    sender_signing_t *signing = copy->signing;
    apr_time_t begun = mg_ticks();
    apr_status_t rv;

    if (all->spent > TURN_MAX)
        return APR_EAGAIN;
    if (!copy->who.delivery && copy->message->signature) {
        copy->signature = apr_pstrdup(copy->pool, copy->message->signature);
        copy->signing = NULL; /* another connection was quicker */
        sender_copy_rewind(copy, SENDER_COPY_ALL);
        return APR_SUCCESS;
    }
    if (!signing->content) {
        signing->content = mg_dkim_content_make(copy->pool);
        sender_copy_rewind(copy, SENDER_COPY_HEAD);
    }
    rv = feed(copy);
    if (APR_STATUS_IS_EOF(rv)) {
        sign(copy);
        sender_copy_rewind(copy, SENDER_COPY_ALL);
        rv = APR_SUCCESS;
    }
    else if (rv == APR_SUCCESS)
        rv = APR_EAGAIN;
    all->spent += mg_ticks() - begun;
    return rv;
}
