/* mg_campaign.c - rows of campaigns. */
#include <string.h>
#include <apr_strings.h>

#include "mg_campaign.h"
#include "mg_id.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

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
    rv = mg_db_exec_one(db, MG_ECONFLICT,
                        "INSERT INTO campaign (id, domain_id, public_id, name,"
                        " created_at) VALUES ($1, $2, $3, $4, $5)"
                        " ON CONFLICT (domain_id, public_id) DO NOTHING",
                        "iitti", c->id, domain_id, c->public_id, c->name,
                        (apr_int64_t)c->created_at);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pcampaign = c;
    return rv;
}

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

apr_status_t mg_campaign_list(apr_array_header_t **plist, mg_db_t *db,
                              apr_int64_t domain_id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_campaign_t *));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, public_id, name, created_at FROM campaign"
                     " WHERE domain_id = $1 ORDER BY public_id", "i",
                     domain_id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_campaign_t *) = from_row(stmt, domain_id, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_campaign_remove(mg_db_t *db, apr_int64_t domain_id,
                                const char *public_id)
{
    apr_int64_t gone = 0;
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &gone, "DELETE FROM campaign WHERE domain_id = $1"
                    " AND public_id = $2", "it", domain_id, public_id);
    if (rv == APR_SUCCESS && gone == 0)
        rv = APR_ENOENT;
    return mg_tx_leave(db, own, rv);
}
