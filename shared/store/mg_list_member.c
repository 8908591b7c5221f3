/* mg_list_member.c - see mg_list.h: members. */
#include <stdlib.h>
#include <string.h>
#include <apr_hash.h>
#include <apr_strings.h>

#include "mg_list.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define LAST "\xf4\x8f\xbf\xbf" /* U+10FFFF: behind every address */

static const char *clean(const char *s, apr_pool_t *p)
{
    return s ? mg_text_clean(s, strlen(s), p) : "";
}

static const char *key_of(const char *address, apr_pool_t *p)
{
    return mg_text_lower(clean(address, p), p);
}

/* --- how many --- */

/* SQLite has one writer at a time. The list's row is locked by UPDATE, the
 * account's where it has a limit. */
static apr_status_t lock_account(mg_db_t *db, apr_int64_t list_id)
{
    apr_int64_t id;

    if (mg_db_kind(db) != MG_DB_PGSQL)
        return APR_SUCCESS;
    return mg_db_get_int(db, &id, "SELECT id FROM account WHERE id = (SELECT"
                         " account_id FROM list WHERE id = $1) FOR UPDATE",
                         "i", list_id);
}

apr_status_t mg_list_member_limit(apr_int64_t *plimit, mg_db_t *db,
                                  apr_int64_t account_id)
{
    *plimit = -1;
    return mg_db_get_int(db, plimit, "SELECT COALESCE(member_limit, -1) FROM"
                         " account WHERE id = $1", "i", account_id);
}

static apr_status_t is_room(mg_db_t *db, apr_int64_t list_id)
{
    apr_int64_t limit, n = 0, account_id;
    apr_status_t rv;

    rv = mg_db_get_int(db, &account_id, "SELECT account_id FROM list"
                       " WHERE id = $1", "i", list_id);
    if (rv == APR_SUCCESS)
        rv = mg_list_member_limit(&limit, db, account_id);
    if (rv != APR_SUCCESS || limit < 0)
        return rv;
    rv = mg_db_get_int(db, &n, "SELECT CAST(COALESCE(SUM(members), 0) AS"
                       " BIGINT) FROM list WHERE account_id = $1", "i",
                       account_id);
    return rv == APR_SUCCESS && n > limit ? MG_ELIMIT : rv;
}

/* n more, or less. @return APR_ENOENT: the list is gone */
static apr_status_t count(mg_db_t *db, apr_int64_t list_id, apr_int64_t n)
{
    apr_int64_t changed = 0;
    apr_status_t rv;

    rv = n > 0 ? lock_account(db, list_id) : APR_SUCCESS;
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, &changed, "UPDATE list SET members = members + $1"
                        " WHERE id = $2", "ii", n, list_id);
    if (rv == APR_SUCCESS && changed == 0)
        rv = APR_ENOENT;
    return rv == APR_SUCCESS && n > 0 ? is_room(db, list_id) : rv;
}

/* --- putting --- */

typedef struct {
    const char *key;
    const mg_list_member_t *member;
} keyed_t;

static int by_key(const void *a, const void *b)
{
    return strcmp(((const keyed_t *)a)->key, ((const keyed_t *)b)->key);
}

/* Sorted, each address once: the last of equal ones. */
static keyed_t *keyed(int *pn, const apr_array_header_t *members,
                      apr_pool_t *p)
{
    keyed_t *list = apr_palloc(p, sizeof(*list) * ((apr_size_t)members->nelts
                                                   + 1));
    apr_hash_t *seen = apr_hash_make(p);
    int i, n = 0;

    for (i = 0; i < members->nelts; i++) {
        const mg_list_member_t *m = APR_ARRAY_IDX(members, i,
                                                  const mg_list_member_t *);
        const char *key = key_of(m->address, p);
        keyed_t *k = apr_hash_get(seen, key, APR_HASH_KEY_STRING);

        if (!k) {
            k = &list[n++];
            k->key = key;
            apr_hash_set(seen, key, APR_HASH_KEY_STRING, k);
        }
        k->member = m;
    }
    qsort(list, (size_t)n, sizeof(*list), by_key);
    *pn = n;
    return list;
}

static apr_status_t exists(mg_db_t *db, apr_int64_t list_id, const char *key)
{
    apr_int64_t one;

    return mg_db_get_int(db, &one, "SELECT 1 FROM list_member WHERE"
                         " list_id = $1 AND address_lc = $2", "it", list_id,
                         key);
}

static apr_status_t update_row(mg_db_t *db, apr_int64_t list_id,
                               const char *key, const mg_list_member_t *m,
                               apr_pool_t *p)
{
    return mg_db_exec(
        db, NULL, "UPDATE list_member SET address = $3, name = $4,"
        " description = $5, vars = $6, subscribed = $7 WHERE list_id = $1"
        " AND address_lc = $2", "ittttti", list_id, key, clean(m->address, p),
        clean(m->name, p), clean(m->description, p), clean(m->vars, p),
        (apr_int64_t)m->subscribed);
}

/* Those that are not there, in the order of their keys. */
static apr_status_t insert_rows(mg_db_t *db, apr_int64_t list_id,
                                const apr_array_header_t *fresh,
                                apr_time_t now, apr_pool_t *p)
{
    mg_value_t *values = apr_pcalloc(p, sizeof(*values) * 8 *
                                            ((apr_size_t)fresh->nelts + 1));
    mg_value_t *v = values;
    int i;

    for (i = 0; i < fresh->nelts; i++) {
        const keyed_t *k = APR_ARRAY_IDX(fresh, i, const keyed_t *);

        (v++)->num = list_id;
        (v++)->text = k->key;
        (v++)->text = clean(k->member->address, p);
        (v++)->text = clean(k->member->name, p);
        (v++)->text = clean(k->member->description, p);
        (v++)->text = clean(k->member->vars, p);
        (v++)->num = k->member->subscribed;
        (v++)->num = now;
    }
    return mg_db_exec_rows(db, "INSERT INTO list_member (list_id, address_lc,"
                           " address, name, description, vars, subscribed,"
                           " created_at)", "", "itttttii", values,
                           fresh->nelts);
}

static apr_status_t put(const char **pthere, mg_db_t *db, apr_int64_t list_id,
                        const apr_array_header_t *members, int how,
                        apr_pool_t *p)
{
    apr_array_header_t *fresh = apr_array_make(p, members->nelts,
                                               sizeof(keyed_t *));
    apr_status_t rv;
    int i, n;
    keyed_t *list = keyed(&n, members, p);

    /* the list's row is locked by this: who adds to it waits */
    rv = count(db, list_id, 0);
    for (i = 0; rv == APR_SUCCESS && i < n; i++) {
        rv = exists(db, list_id, list[i].key);
        if (rv == APR_ENOENT) {
            APR_ARRAY_PUSH(fresh, const keyed_t *) = &list[i];
            rv = APR_SUCCESS;
        }
        else if (rv == APR_SUCCESS && how == MG_LIST_STRICT) {
            *pthere = list[i].member->address;
            rv = MG_ECONFLICT;
        }
        else if (rv == APR_SUCCESS) {
            rv = update_row(db, list_id, list[i].key, list[i].member, p);
        }
    }
    if (rv == APR_SUCCESS && fresh->nelts > 0)
        rv = insert_rows(db, list_id, fresh, mg_now(), p);
    return rv == APR_SUCCESS && fresh->nelts > 0
               ? count(db, list_id, fresh->nelts) : rv;
}

apr_status_t mg_list_put_members(const char **pthere, mg_db_t *db,
                                 apr_int64_t list_id,
                                 const apr_array_header_t *members, int how,
                                 apr_pool_t *ptemp)
{
    apr_status_t rv;
    int own;

    *pthere = NULL;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    return mg_tx_leave(db, own, put(pthere, db, list_id, members, how,
                                    ptemp));
}

/* --- one --- */

static apr_status_t rename_row(mg_db_t *db, apr_int64_t list_id,
                               const char *from, const char *to)
{
    apr_status_t rv;

    if (strcmp(from, to) == 0)
        return APR_SUCCESS;
    rv = exists(db, list_id, to);
    if (rv != APR_ENOENT)
        return rv == APR_SUCCESS ? MG_ECONFLICT : rv;
    return mg_db_exec(db, NULL, "UPDATE list_member SET address_lc = $3 WHERE"
                      " list_id = $1 AND address_lc = $2", "itt", list_id,
                      from, to);
}

apr_status_t mg_list_update_member(mg_db_t *db, apr_int64_t list_id,
                                   const char *address,
                                   const mg_list_member_t *member,
                                   apr_pool_t *ptemp)
{
    const char *from = key_of(address, ptemp);
    const char *to = key_of(member->address, ptemp);
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = count(db, list_id, 0);
    if (rv == APR_SUCCESS)
        rv = exists(db, list_id, from);
    if (rv == APR_SUCCESS)
        rv = rename_row(db, list_id, from, to);
    if (rv == APR_SUCCESS)
        rv = update_row(db, list_id, to, member, ptemp);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_list_remove_member(mg_db_t *db, apr_int64_t list_id,
                                   const char *address, apr_pool_t *ptemp)
{
    apr_int64_t n = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = count(db, list_id, 0); /* in the order of who puts members */
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, &n, "DELETE FROM list_member WHERE list_id = $1"
                        " AND address_lc = $2", "it", list_id,
                        key_of(address, ptemp));
    if (rv == APR_SUCCESS)
        rv = n == 0 ? APR_ENOENT : count(db, list_id, -1);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_list_subscribe(mg_db_t *db, const char *list_address,
                               const char *address, int subscribed,
                               apr_pool_t *ptemp)
{
    return mg_db_exec(db, NULL, "UPDATE list_member SET subscribed = $3 WHERE"
                      " list_id = (SELECT id FROM list WHERE address_lc = $1)"
                      " AND address_lc = $2", "tti",
                      key_of(list_address, ptemp), key_of(address, ptemp),
                      (apr_int64_t)subscribed);
}

/* --- reading --- */

#define COLUMNS "address, name, description, vars, subscribed, created_at"

static mg_list_member_t *read_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_list_member_t *m = apr_pcalloc(p, sizeof(*m));

    m->address = mg_stmt_text(stmt, 0, p);
    m->name = mg_stmt_text(stmt, 1, p);
    m->description = mg_stmt_text(stmt, 2, p);
    m->vars = mg_stmt_text(stmt, 3, p);
    m->subscribed = (int)mg_stmt_int(stmt, 4);
    m->created_at = mg_stmt_int(stmt, 5);
    return m;
}

apr_status_t mg_list_member(mg_list_member_t **pmember, mg_db_t *db,
                            apr_int64_t list_id, const char *address,
                            apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pmember = NULL;
    rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM list_member WHERE"
                     " list_id = $1 AND address_lc = $2", "it", list_id,
                     key_of(address, p));
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *pmember = read_row(stmt, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

#define WHICH " AND subscribed >= $3 AND subscribed <= $4"                    \
              " AND created_at <= $5 ORDER BY address_lc"

apr_status_t mg_list_members(apr_array_header_t **pmembers, mg_db_t *db,
                             apr_int64_t list_id, const mg_list_page_t *page,
                             apr_pool_t *p)
{
    static const char up[] = "SELECT " COLUMNS " FROM list_member WHERE"
        " list_id = $1 AND address_lc > $2" WHICH " LIMIT $6 OFFSET $7";
    static const char down[] = "SELECT * FROM (SELECT " COLUMNS ", address_lc"
        " FROM list_member WHERE list_id = $1 AND address_lc < $2" WHICH
        " DESC LIMIT $6 OFFSET $7) x ORDER BY address_lc";
    const char *pivot = page->before ? page->before : page->after;
    mg_stmt_t *stmt;
    apr_status_t rv;

    pivot = key_of(pivot, p);
    if (page->before && !*pivot)
        pivot = LAST;
    *pmembers = apr_array_make(p, 16, sizeof(mg_list_member_t *));
    rv = mg_db_query(&stmt, db, page->before ? down : up, "itiiiii", list_id,
                     pivot, (apr_int64_t)(page->subscribed == 1),
                     (apr_int64_t)(page->subscribed != 0),
                     page->created_by ? (apr_int64_t)page->created_by
                                      : APR_INT64_MAX, page->limit,
                     page->skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*pmembers, mg_list_member_t *) = read_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_list_count(apr_int64_t *pn, mg_db_t *db, apr_int64_t list_id,
                           int subscribed)
{
    *pn = 0;
    if (subscribed < 0)
        return mg_db_get_int(db, pn, "SELECT members FROM list WHERE id = $1",
                             "i", list_id);
    return mg_db_get_int(db, pn, "SELECT COUNT(*) FROM list_member WHERE"
                         " list_id = $1 AND subscribed = $2", "ii", list_id,
                         (apr_int64_t)subscribed);
}
