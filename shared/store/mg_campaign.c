/* mg_campaign.c - rows of campaigns. */
#include <string.h>
#include <apr_strings.h>

#include "mg_campaign.h"
#include "mg_campaign_name.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define FOREVER APR_INT64_MAX

static const char *const kind_names[MG_CAMPAIGN_KINDS] = {
    [MG_CAMPAIGN_SUBMITTED] = "submitted",
    [MG_CAMPAIGN_DELIVERED] = "delivered",
    [MG_CAMPAIGN_OPENED] = "opened",
    [MG_CAMPAIGN_CLICKED] = "clicked",
    [MG_CAMPAIGN_UNSUBSCRIBED] = "unsubscribed",
    [MG_CAMPAIGN_BOUNCED] = "bounced",
    [MG_CAMPAIGN_COMPLAINED] = "complained",
    [MG_CAMPAIGN_DROPPED] = "dropped",
    [MG_CAMPAIGN_OPENED_MACHINE] = "opened",
    [MG_CAMPAIGN_CLICKED_MACHINE] = "clicked",
};

const char *mg_campaign_kind_name(mg_campaign_kind_t kind)
{
    return kind_names[kind];
}

const char *mg_campaign_bad_id(const char *public_id)
{
    const char *c;

    for (c = public_id; *c; c++)
        if (*c <= ' ' || *c > '~')
            return "must be pure ASCII, without blanks";
    if (c == public_id)
        return "is empty";
    return c - public_id > MG_CAMPAIGN_ID_MAX
               ? "is longer than 64 characters" : NULL;
}

const char *mg_campaign_bad_name(const char *name)
{
    apr_size_t characters = 0;
    const char *c;

    if (!*name || !mg_text_is_utf8(name, strlen(name)))
        return "is empty or not UTF-8";
    for (c = name; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return "has control characters";
        characters += ((unsigned char)*c & 0xC0) != 0x80;
    }
    return characters > MG_CAMPAIGN_NAME_MAX ? "is longer than 64 characters"
                                             : NULL;
}

/* how many */

apr_status_t mg_campaign_limit(apr_int64_t *plimit, mg_db_t *db,
                               apr_int64_t domain_id)
{
    *plimit = -1;
    return mg_db_get_int(db, plimit,
                         "SELECT COALESCE(a.campaign_limit, -1) FROM account a"
                         " JOIN domain d ON d.account_id = a.id"
                         " WHERE d.id = $1", "i", domain_id);
}

/* SQLite has one writer at a time. */
static apr_status_t lock_account(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t id;

    if (mg_db_kind(db) != MG_DB_PGSQL)
        return APR_SUCCESS;
    return mg_db_get_int(db, &id,
                         "SELECT id FROM account WHERE id = (SELECT account_id"
                         " FROM domain WHERE id = $1) FOR UPDATE", "i",
                         domain_id);
}

static apr_status_t is_room(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t limit, n = 0;
    apr_status_t rv = mg_campaign_limit(&limit, db, domain_id);

    if (rv != APR_SUCCESS || limit < 0)
        return rv;
    rv = lock_account(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_get_int(db, &n,
                           "SELECT COUNT(*) FROM campaign c"
                           " JOIN domain d ON d.id = c.domain_id"
                           " WHERE d.account_id = (SELECT account_id"
                           " FROM domain WHERE id = $1)", "i", domain_id);
    return rv == APR_SUCCESS && n >= limit ? MG_ELIMIT : rv;
}

/* names */

static apr_status_t name_begin(mg_db_t *db, apr_int64_t domain_id,
                               const char *public_id, apr_int64_t campaign_id,
                               apr_time_t now)
{
    mg_campaign_names_changed(db);
    return mg_db_exec(db, NULL,
                      "INSERT INTO campaign_name (domain_id, public_id, since,"
                      " until, campaign_id) VALUES ($1, $2, $3, $4, $5)"
                      " ON CONFLICT (domain_id, public_id, since) DO UPDATE"
                      " SET until = excluded.until,"
                      " campaign_id = excluded.campaign_id",
                      "itiii", domain_id, public_id, mg_id_floor(now), FOREVER,
                      campaign_id);
}

static apr_status_t name_end(mg_db_t *db, apr_int64_t campaign_id,
                             apr_time_t now)
{
    return mg_db_exec(db, NULL, "UPDATE campaign_name SET until = $1"
                      " WHERE campaign_id = $2 AND until = $3", "iii",
                      mg_id_floor(now), campaign_id, FOREVER);
}

static apr_status_t insert(mg_db_t *db, const mg_campaign_t *c)
{
    apr_status_t rv = is_room(db, c->domain_id);

    if (rv == APR_SUCCESS)
        rv = mg_db_exec_one(db, MG_ECONFLICT,
                            "INSERT INTO campaign (id, domain_id, public_id,"
                            " name, created_at) VALUES ($1, $2, $3, $4, $5)"
                            " ON CONFLICT (domain_id, public_id) DO NOTHING",
                            "iitti", c->id, c->domain_id, c->public_id,
                            c->name, (apr_int64_t)c->created_at);
    if (rv == APR_SUCCESS)
        rv = name_begin(db, c->domain_id, c->public_id, c->id, c->created_at);
    return rv;
}

apr_status_t mg_campaign_add(mg_campaign_t **pcampaign, mg_db_t *db,
                             apr_int64_t domain_id, const char *public_id,
                             const char *name, apr_pool_t *p)
{
    mg_campaign_t *c = apr_pcalloc(p, sizeof(*c));
    apr_status_t rv;
    int own;

    *pcampaign = NULL;
    if ((public_id && mg_campaign_bad_id(public_id)) ||
        mg_campaign_bad_name(name))
        return MG_EBADINPUT;
    c->id = mg_id_next();
    c->domain_id = domain_id;
    c->public_id = public_id ? apr_pstrdup(p, public_id) : mg_id_hex24(p);
    c->name = apr_pstrdup(p, name);
    c->created_at = mg_now();
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_tx_leave(db, own, insert(db, c));
    if (rv == APR_SUCCESS)
        *pcampaign = c;
    return rv;
}

static apr_status_t set_id(mg_db_t *db, apr_int64_t domain_id, apr_int64_t id,
                           const char *new_id)
{
    apr_time_t now = mg_now();
    apr_int64_t other;
    apr_status_t rv;

    rv = mg_db_get_int(db, &other, "SELECT id FROM campaign WHERE"
                       " domain_id = $1 AND public_id = $2", "it", domain_id,
                       new_id);
    if (rv == APR_SUCCESS)
        return other == id ? APR_SUCCESS : MG_ECONFLICT;
    if (rv != APR_ENOENT)
        return rv;
    rv = mg_db_exec(db, NULL, "UPDATE campaign SET public_id = $1"
                    " WHERE id = $2", "ti", new_id, id);
    if (rv == APR_SUCCESS)
        rv = name_end(db, id, now);
    if (rv == APR_SUCCESS)
        rv = name_begin(db, domain_id, new_id, id, now);
    return rv;
}

apr_status_t mg_campaign_rename(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id, const char *new_id,
                                const char *new_name)
{
    apr_int64_t id;
    apr_status_t rv;
    int own;

    if (mg_campaign_bad_id(public_id))
        return APR_ENOENT;
    if ((new_id && mg_campaign_bad_id(new_id)) ||
        (new_name && mg_campaign_bad_name(new_name)))
        return MG_EBADINPUT;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_get_int(db, &id, "SELECT id FROM campaign WHERE domain_id = $1"
                       " AND public_id = $2", "it", domain_id, public_id);
    if (rv == APR_SUCCESS && new_name)
        rv = mg_db_exec(db, NULL, "UPDATE campaign SET name = $1"
                        " WHERE id = $2", "ti", new_name, id);
    if (rv == APR_SUCCESS && new_id)
        rv = set_id(db, domain_id, id, new_id);
    return mg_tx_leave(db, own, rv);
}

/* reading */

static mg_campaign_t *from_row(mg_stmt_t *stmt, apr_int64_t domain_id,
                               apr_pool_t *p)
{
    mg_campaign_t *c = apr_pcalloc(p, sizeof(*c));

    c->domain_id = domain_id;
    c->id = mg_stmt_int(stmt, 0);
    c->public_id = mg_stmt_text(stmt, 1, p);
    c->name = mg_stmt_text(stmt, 2, p);
    c->created_at = mg_stmt_int(stmt, 3);
    return c;
}

apr_status_t mg_campaign_by_id(mg_campaign_t **pcampaign, mg_db_t *db,
                               apr_int64_t domain_id, const char *public_id,
                               apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pcampaign = NULL;
    if (mg_campaign_bad_id(public_id))
        return APR_ENOENT; /* nothing that would break a statement */
    rv = mg_db_query(&stmt, db,
                     "SELECT id, public_id, name, created_at FROM campaign"
                     " WHERE domain_id = $1 AND public_id = $2", "it",
                     domain_id, public_id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    *pcampaign = from_row(stmt, domain_id, p);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}

apr_status_t mg_campaign_read_counts(mg_campaign_t *campaign, mg_db_t *db)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    apr_int64_t kind;

    rv = mg_db_query(&stmt, db,
                     "SELECT kind, CAST(SUM(n) AS BIGINT) FROM campaign_count"
                     " WHERE campaign_id = $1 GROUP BY kind", "i",
                     campaign->id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        kind = mg_stmt_int(stmt, 0);
        if (kind >= 0 && kind < MG_CAMPAIGN_KINDS)
            campaign->counts[kind] = mg_stmt_int(stmt, 1);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_campaign_unknown(const char **punknown, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 const apr_array_header_t *ids)
{
    apr_int64_t one;
    apr_status_t rv;
    int i;

    *punknown = NULL;
    for (i = 0; i < ids->nelts; i++) {
        const char *id = APR_ARRAY_IDX(ids, i, const char *);

        rv = mg_campaign_bad_id(id)
                 ? APR_ENOENT
                 : mg_db_get_int(db, &one, "SELECT 1 FROM campaign WHERE"
                                 " domain_id = $1 AND public_id = $2", "it",
                                 domain_id, id);
        if (rv == APR_ENOENT) {
            *punknown = id;
            return APR_SUCCESS;
        }
        if (rv != APR_SUCCESS)
            return rv;
    }
    return APR_SUCCESS;
}

apr_status_t mg_campaign_total(apr_int64_t *ptotal, mg_db_t *db,
                               apr_int64_t domain_id)
{
    *ptotal = 0;
    return mg_db_get_int(db, ptotal, "SELECT COUNT(*) FROM campaign"
                         " WHERE domain_id = $1", "i", domain_id);
}

apr_status_t mg_campaign_list(apr_array_header_t **plist, mg_db_t *db,
                              apr_int64_t domain_id, apr_int64_t skip,
                              apr_int64_t limit, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    *plist = apr_array_make(p, 16, sizeof(mg_campaign_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, public_id, name, created_at FROM campaign"
                     " WHERE domain_id = $1 ORDER BY public_id"
                     " LIMIT $2 OFFSET $3", "iii", domain_id, limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_campaign_t *) = from_row(stmt, domain_id, p);
    if (rv == APR_EOF)
        rv = APR_SUCCESS;
    for (i = 0; rv == APR_SUCCESS && i < (*plist)->nelts; i++)
        rv = mg_campaign_read_counts(
            APR_ARRAY_IDX(*plist, i, mg_campaign_t *), db);
    return rv;
}

/* removing */

static apr_status_t remove_rows(mg_db_t *db, apr_int64_t id)
{
    apr_status_t rv;

    mg_campaign_names_changed(db);
    rv = mg_db_exec(db, NULL, "DELETE FROM campaign_name"
                    " WHERE campaign_id = $1", "i", id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM campaign WHERE id = $1", "i",
                        id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "INSERT INTO campaign_gone (campaign_id,"
                        " gone_at) VALUES ($1, $2)", "ii", id,
                        (apr_int64_t)mg_now());
    return rv;
}

apr_status_t mg_campaign_remove(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id)
{
    apr_int64_t id = 0;
    apr_status_t rv;
    int own;

    if (mg_campaign_bad_id(public_id))
        return APR_ENOENT;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_get_int(db, &id, "SELECT id FROM campaign WHERE domain_id = $1"
                       " AND public_id = $2", "it", domain_id, public_id);
    if (rv == APR_SUCCESS)
        rv = remove_rows(db, id);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_campaign_remove_all(mg_db_t *db, apr_int64_t domain_id)
{
    apr_status_t rv;

    mg_campaign_names_changed(db);
    rv = mg_db_exec(db, NULL, "DELETE FROM campaign_name WHERE domain_id = $1",
                    "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "INSERT INTO campaign_gone (campaign_id,"
                        " gone_at) SELECT id, CAST($1 AS BIGINT) FROM campaign"
                        " WHERE domain_id = $2", "ii",
                        (apr_int64_t)mg_now(), domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM campaign WHERE domain_id = $1",
                        "i", domain_id);
    return rv;
}
