/* mg_list.c - see mg_list.h: rows of lists. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_list.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define SWEEP_STEP 500

static const char *const access_names[] = { "readonly", "members",
                                            "everyone" };
static const char *const reply_names[] = { "", "list", "sender" };

int mg_list_access_by_name(const char *name)
{
    int i;

    for (i = 0; i < 3; i++)
        if (strcmp(access_names[i], name) == 0)
            return i;
    return -1;
}

const char *mg_list_access_name(mg_list_access_t access)
{
    return access_names[access];
}

int mg_list_reply_by_name(const char *name)
{
    int i;

    for (i = MG_LIST_REPLY_LIST; i <= MG_LIST_REPLY_SENDER; i++)
        if (strcmp(reply_names[i], name) == 0)
            return i;
    return -1;
}

const char *mg_list_reply_name(mg_list_reply_t reply)
{
    return reply_names[reply];
}

int mg_list_replies_to_list(const mg_list_t *list)
{
    if (list->reply == MG_LIST_REPLY_UNSAID)
        return list->access != MG_LIST_READONLY;
    return list->reply == MG_LIST_REPLY_LIST;
}

static const char *clean(const char *s, apr_pool_t *p)
{
    return s ? mg_text_clean(s, strlen(s), p) : "";
}

static const char *key_of(const char *address, apr_pool_t *p)
{
    return mg_text_lower(clean(address, p), p);
}

/* --- writing --- */

apr_status_t mg_list_add(mg_list_t *list, mg_db_t *db, apr_pool_t *ptemp)
{
    apr_status_t rv;
    int own;

    list->id = mg_id_next();
    list->created_at = mg_now();
    list->members = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec_one(
        db, MG_ECONFLICT,
        "INSERT INTO list (id, account_id, domain_id, address, address_lc,"
        " name, description, access_level, reply_preference, members,"
        " created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, $10)"
        " ON CONFLICT (address_lc) DO NOTHING",
        "iiitttttti", list->id, list->account_id, list->domain_id,
        clean(list->address, ptemp), key_of(list->address, ptemp),
        clean(list->name, ptemp), clean(list->description, ptemp),
        mg_list_access_name(list->access), mg_list_reply_name(list->reply),
        (apr_int64_t)list->created_at);
    return mg_tx_leave(db, own, rv);
}

static apr_status_t is_taken(mg_db_t *db, const mg_list_t *list,
                             apr_pool_t *ptemp)
{
    apr_int64_t other;
    apr_status_t rv = mg_db_get_int(db, &other, "SELECT id FROM list WHERE"
                                    " address_lc = $1 AND id <> $2", "ti",
                                    key_of(list->address, ptemp), list->id);

    if (rv == APR_SUCCESS)
        return MG_ECONFLICT;
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

apr_status_t mg_list_update(mg_db_t *db, const mg_list_t *list,
                            apr_pool_t *ptemp)
{
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = is_taken(db, list, ptemp);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec_one(
            db, APR_ENOENT, "UPDATE list SET address = $1, address_lc = $2,"
            " name = $3, description = $4, access_level = $5,"
            " reply_preference = $6, domain_id = $7 WHERE id = $8",
            "ttttttii", clean(list->address, ptemp),
            key_of(list->address, ptemp), clean(list->name, ptemp),
            clean(list->description, ptemp), mg_list_access_name(list->access),
            mg_list_reply_name(list->reply), list->domain_id, list->id);
    return mg_tx_leave(db, own, rv);
}

/* What is left of a list is found in list_gone; what was counted under its id,
 * in campaign_gone. */
apr_status_t mg_list_remove(mg_db_t *db, apr_int64_t list_id)
{
    apr_int64_t now = mg_now();
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec_one(db, APR_ENOENT, "DELETE FROM list WHERE id = $1", "i",
                        list_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "INSERT INTO list_gone (list_id, gone_at)"
                        " VALUES ($1, $2)", "ii", list_id, now);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "INSERT INTO campaign_gone (campaign_id,"
                        " gone_at) VALUES ($1, $2)", "ii", list_id, now);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_list_remove_all(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t id;
    apr_status_t rv;

    while ((rv = mg_db_get_int(db, &id, "SELECT id FROM list WHERE"
                               " domain_id = $1 LIMIT 1", "i", domain_id))
           == APR_SUCCESS) {
        rv = mg_list_remove(db, id);
        if (rv != APR_SUCCESS)
            return rv;
    }
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

static apr_status_t sweep_step(int *pmore, mg_db_t *db, apr_int64_t list_id)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &n, "DELETE FROM list_member WHERE list_id = $1"
                    " AND address_lc IN (SELECT address_lc FROM list_member"
                    " WHERE list_id = $1 ORDER BY address_lc LIMIT $2)", "ii",
                    list_id, (apr_int64_t)SWEEP_STEP);
    *pmore = 1;
    if (rv == APR_SUCCESS && n < SWEEP_STEP)
        rv = mg_db_exec(db, NULL, "DELETE FROM list_gone WHERE list_id = $1",
                        "i", list_id);
    return rv;
}

apr_status_t mg_list_sweep(int *pmore, mg_db_t *db, apr_pool_t *ptemp)
{
    apr_int64_t list_id;
    apr_status_t rv;
    int own;

    (void)ptemp;
    *pmore = 0;
    rv = mg_db_get_int(db, &list_id, "SELECT list_id FROM list_gone"
                       " ORDER BY list_id LIMIT 1", "");
    if (rv != APR_SUCCESS)
        return rv == APR_ENOENT ? APR_SUCCESS : rv;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    return mg_tx_leave(db, own, sweep_step(pmore, db, list_id));
}

/* --- reading --- */

#define COLUMNS "id, account_id, domain_id, address, name, description," \
                " access_level, reply_preference, members, created_at"

static mg_list_t *read_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_list_t *l = apr_pcalloc(p, sizeof(*l));
    int access, reply;

    l->id = mg_stmt_int(stmt, 0);
    l->account_id = mg_stmt_int(stmt, 1);
    l->domain_id = mg_stmt_int(stmt, 2);
    l->address = mg_stmt_text(stmt, 3, p);
    l->name = mg_stmt_text(stmt, 4, p);
    l->description = mg_stmt_text(stmt, 5, p);
    access = mg_list_access_by_name(mg_stmt_text(stmt, 6, p));
    l->access = access < 0 ? MG_LIST_READONLY : (mg_list_access_t)access;
    reply = mg_list_reply_by_name(mg_stmt_text(stmt, 7, p));
    l->reply = reply < 0 ? MG_LIST_REPLY_UNSAID : (mg_list_reply_t)reply;
    l->members = mg_stmt_int(stmt, 8);
    l->created_at = mg_stmt_int(stmt, 9);
    return l;
}

static apr_status_t take_one(mg_list_t **plist, mg_stmt_t *stmt,
                             apr_int64_t account_id, apr_pool_t *p)
{
    apr_status_t rv = mg_stmt_next(stmt);

    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *plist = read_row(stmt, p);
    mg_stmt_done(stmt);
    if (account_id && (*plist)->account_id != account_id) {
        *plist = NULL;
        return APR_ENOENT;
    }
    return APR_SUCCESS;
}

apr_status_t mg_list_by_address(mg_list_t **plist, mg_db_t *db,
                                apr_int64_t account_id, const char *address,
                                apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = NULL;
    rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM list"
                     " WHERE address_lc = $1", "t", key_of(address, p));
    return rv == APR_SUCCESS ? take_one(plist, stmt, account_id, p) : rv;
}

apr_status_t mg_list_by_id(mg_list_t **plist, mg_db_t *db, apr_int64_t id,
                           apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = NULL;
    rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM list WHERE id = $1",
                     "i", id);
    return rv == APR_SUCCESS ? take_one(plist, stmt, 0, p) : rv;
}

apr_status_t mg_list_page(apr_array_header_t **plists, apr_int64_t *ptotal,
                          mg_db_t *db, apr_int64_t account_id,
                          apr_int64_t skip, apr_int64_t limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plists = apr_array_make(p, 16, sizeof(mg_list_t *));
    *ptotal = 0;
    rv = mg_db_get_int(db, ptotal, "SELECT COUNT(*) FROM list"
                       " WHERE account_id = $1", "i", account_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(&stmt, db, "SELECT " COLUMNS " FROM list"
                         " WHERE account_id = $1 ORDER BY address_lc"
                         " LIMIT $2 OFFSET $3", "iii", account_id, limit,
                         skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plists, mg_list_t *) = read_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

#define LAST "\xf4\x8f\xbf\xbf" /* U+10FFFF: behind every address */

apr_status_t mg_list_pages(apr_array_header_t **plists, mg_db_t *db,
                           apr_int64_t account_id, const mg_list_page_t *page,
                           apr_pool_t *p)
{
    static const char up[] = "SELECT " COLUMNS " FROM list WHERE account_id ="
        " $1 AND address_lc > $2 ORDER BY address_lc LIMIT $3";
    static const char down[] = "SELECT * FROM (SELECT " COLUMNS ", address_lc"
        " FROM list WHERE account_id = $1 AND address_lc < $2"
        " ORDER BY address_lc DESC LIMIT $3) x ORDER BY address_lc";
    const char *pivot = key_of(page->before ? page->before : page->after, p);
    mg_stmt_t *stmt;
    apr_status_t rv;

    if (page->before && !*pivot)
        pivot = LAST;
    *plists = apr_array_make(p, 16, sizeof(mg_list_t *));
    rv = mg_db_query(&stmt, db, page->before ? down : up, "iti", account_id,
                     pivot, page->limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plists, mg_list_t *) = read_row(stmt, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
