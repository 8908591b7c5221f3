/* mg_campaign_name.c - which campaign an id meant to a message, as read last. */
#include "mg_campaign_name.h"

#include <stddef.h>
#include <string.h>
#include <apr_strings.h>

#include "mg_campaign.h"
#include "mg_id.h"
#include "mg_status.h"

#define ENTRIES_MAX 20000
#define REVISION_MAX 24        /* characters of an id */

/* What an id meant when. */
typedef struct {
    apr_int64_t since, until, campaign_id;
} meaning_t;

struct mg_campaign_names_t {
    apr_pool_t *pool;
    apr_hash_t *entries;       /* of arrays of meaning_t, by key_t */
    char revision[REVISION_MAX];
};

typedef struct {
    apr_int64_t domain_id;
    char public_id[MG_CAMPAIGN_ID_MAX];
} name_key_t;

/* --- what is kept --- */

void mg_campaign_names_drop(mg_campaign_names_t *names)
{
    apr_pool_clear(names->pool);
    names->entries = apr_hash_make(names->pool);
    names->revision[0] = '\0';
}

mg_campaign_names_t *mg_campaign_names_create(void)
{
    mg_campaign_names_t *names;
    apr_allocator_t *allocator;
    apr_pool_t *pool, *entries;

    if (apr_allocator_create(&allocator) != APR_SUCCESS)
        return NULL;
    if (apr_pool_create_unmanaged_ex(&pool, NULL, allocator) != APR_SUCCESS) {
        apr_allocator_destroy(allocator);
        return NULL;
    }
    apr_allocator_owner_set(allocator, pool);
    names = apr_pcalloc(pool, sizeof(*names));
    apr_pool_create(&entries, pool);
    names->pool = entries;
    mg_campaign_names_drop(names);
    return names;
}

void mg_campaign_names_destroy(mg_campaign_names_t *names)
{
    if (names)
        apr_pool_destroy(apr_pool_parent_get(names->pool));
}

/* --- is it as the store has it? --- */

/* "": nothing was ever changed. */
static apr_status_t read_revision(char revision[REVISION_MAX], mg_db_t *db)
{
    apr_int64_t id = 0;
    apr_status_t rv;

    rv = mg_db_get_int(db, &id,
                       "SELECT CAST(value AS BIGINT) FROM setting"
                       " WHERE scope = 'campaign' AND scope_id = 0"
                       " AND name = 'names'", NULL);
    apr_snprintf(revision, REVISION_MAX, "%" APR_INT64_T_FMT, id);
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

/* What holds in this transaction: the connection's, or, where there is none or
 * the transaction itself changed names, the transaction's own. */
static apr_status_t kept(mg_campaign_names_t **pnames, mg_batch_t *batch)
{
    mg_campaign_names_t *names = batch->names_changed ? NULL : batch->names;
    char revision[REVISION_MAX];
    apr_status_t rv;

    *pnames = names;
    if (!names || batch->names_checked)
        return APR_SUCCESS;
    rv = read_revision(revision, batch->db);
    if (rv != APR_SUCCESS)
        return rv;
    if (strcmp(revision, names->revision) != 0
        || apr_hash_count(names->entries) >= ENTRIES_MAX) {
        mg_campaign_names_drop(names);
        apr_cpystrn(names->revision, revision, sizeof(names->revision));
    }
    batch->names_checked = 1;
    return APR_SUCCESS;
}

/* --- looking up --- */

static apr_status_t read_meanings(apr_array_header_t *list, mg_db_t *db,
                                  apr_int64_t domain_id, const char *public_id)
{
    meaning_t *meaning;
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT since, until, campaign_id FROM campaign_name"
                     " WHERE domain_id = $1 AND public_id = $2", "it",
                     domain_id, public_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        meaning = apr_array_push(list);
        meaning->since = mg_stmt_int(stmt, 0);
        meaning->until = mg_stmt_int(stmt, 1);
        meaning->campaign_id = mg_stmt_int(stmt, 2);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t meanings(apr_array_header_t **plist, mg_batch_t *batch,
                             apr_int64_t domain_id, const char *public_id)
{
    apr_size_t len = strlen(public_id);
    mg_campaign_names_t *names;
    apr_hash_t *entries;
    apr_ssize_t key_len;
    apr_status_t rv;
    apr_pool_t *p;
    name_key_t key;

    rv = kept(&names, batch);
    if (rv != APR_SUCCESS)
        return rv;
    if (!names && !batch->campaign_names)
        batch->campaign_names = apr_hash_make(batch->pool);
    entries = names ? names->entries : batch->campaign_names;
    key.domain_id = domain_id;
    memcpy(key.public_id, public_id, len);
    key_len = (apr_ssize_t)(offsetof(name_key_t, public_id) + len);
    *plist = apr_hash_get(entries, &key, key_len);
    if (*plist)
        return APR_SUCCESS;
    p = apr_hash_pool_get(entries);
    *plist = apr_array_make(p, 1, sizeof(meaning_t));
    rv = read_meanings(*plist, batch->db, domain_id, public_id);
    if (rv == APR_SUCCESS)
        apr_hash_set(entries, apr_pmemdup(p, &key, (apr_size_t)key_len),
                     key_len, *plist);
    return rv;
}

apr_status_t mg_campaign_name_find(apr_int64_t *pid, mg_batch_t *batch,
                                   apr_int64_t domain_id,
                                   const char *public_id,
                                   apr_int64_t message_id)
{
    apr_array_header_t *list;
    apr_status_t rv;
    int i;

    *pid = 0;
    if (mg_campaign_bad_id(public_id))
        return APR_SUCCESS;
    rv = meanings(&list, batch, domain_id, public_id);
    if (rv != APR_SUCCESS)
        return rv;
    for (i = 0; i < list->nelts; i++) {
        const meaning_t *m = &APR_ARRAY_IDX(list, i, meaning_t);

        if (message_id >= m->since && message_id < m->until)
            *pid = m->campaign_id;
    }
    return APR_SUCCESS;
}

/* --- changes --- */

void mg_campaign_names_changed(mg_db_t *db)
{
    mg_batch_t *batch = mg_batch_get(db);

    if (!batch)
        return;
    batch->names_changed = 1;
    batch->campaign_names = NULL;
}

/* An id that nobody had: one is as good as another, only not the same. */
apr_status_t mg_campaign_names_write(mg_batch_t *batch)
{
    if (!batch->names_changed)
        return APR_SUCCESS;
    return mg_db_exec(
        batch->db, NULL,
        "INSERT INTO setting (scope, scope_id, name, value)"
        " VALUES ('campaign', 0, 'names', $1)"
        " ON CONFLICT (scope, scope_id, name)"
        " DO UPDATE SET value = excluded.value",
        "t", apr_psprintf(batch->pool, "%" APR_INT64_T_FMT, mg_id_next()));
}
