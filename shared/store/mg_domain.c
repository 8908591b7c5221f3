/* mg_domain.c - rows of domains. */
#include <string.h>
#include <apr_strings.h>

#include "mg_address.h"
#include "mg_campaign.h"
#include "mg_domain.h"
#include "mg_domain_private.h"
#include "mg_event.h"
#include "mg_id.h"
#include "mg_list.h"
#include "mg_mailbox.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_suppression.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_tx.h"

#define DOMAIN_COLUMNS "id, account_id, name, name_lc, state, created_at,"    \
                       " revision, mx, (SELECT valid FROM dns_check"           \
                       " WHERE domain_id = domain.id AND record = 'tracking')"
/* One transaction of dropping what is queued: others want to write too. */
#define DROP_STEP 500

static mg_domain_t *domain_from_row(mg_stmt_t *stmt, apr_int64_t *prevision,
                                    apr_pool_t *p)
{
    mg_domain_t *domain = apr_pcalloc(p, sizeof(*domain));
    const char *mx, *cname;

    domain->id = mg_stmt_int(stmt, 0);
    domain->account_id = mg_stmt_int(stmt, 1);
    domain->name = mg_stmt_text(stmt, 2, p);
    domain->name_lc = mg_stmt_text(stmt, 3, p);
    domain->state = mg_stmt_text(stmt, 4, p);
    domain->created_at = mg_stmt_int(stmt, 5);
    domain->revision = mg_stmt_int(stmt, 6);
    mx = mg_stmt_text(stmt, 7, p);
    domain->mx = !strcmp(mx, "ours")        ? MG_MX_OURS
                 : !strcmp(mx, "elsewhere") ? MG_MX_ELSEWHERE
                                            : MG_MX_UNKNOWN;
    cname = mg_stmt_text(stmt, 8, p);
    domain->cname = cname && !strcmp(cname, "valid");
    if (prevision)
        *prevision = domain->revision;
    return domain;
}

/* The row that stmt selects, with its settings. */
static apr_status_t domain_one(mg_domain_t **pdomain, apr_int64_t *prevision,
                               mg_db_t *db, mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_domain_t *domain;
    apr_status_t rv = mg_stmt_next(stmt);

    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    domain = domain_from_row(stmt, prevision, p);
    mg_stmt_done(stmt);
    rv = mg_domain_load_settings(domain, db, p);
    if (rv == APR_SUCCESS)
        *pdomain = domain;
    return rv;
}

apr_status_t mg_domain_read_by_name(mg_domain_t **pdomain,
                                    apr_int64_t *prevision, mg_db_t *db,
                                    const char *name, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pdomain = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT " DOMAIN_COLUMNS " FROM domain"
                     " WHERE name_lc = $1",
                     "t", mg_text_clean(mg_text_lower(name, p), strlen(name),
                                        p));
    return rv == APR_SUCCESS ? domain_one(pdomain, prevision, db, stmt, p)
                             : rv;
}

apr_status_t mg_domain_read_by_id(mg_domain_t **pdomain,
                                  apr_int64_t *prevision, mg_db_t *db,
                                  apr_int64_t id, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    *pdomain = NULL;
    rv = mg_db_query(&stmt, db,
                     "SELECT " DOMAIN_COLUMNS " FROM domain WHERE id = $1",
                     "i", id);
    return rv == APR_SUCCESS ? domain_one(pdomain, prevision, db, stmt, p)
                             : rv;
}

apr_status_t mg_domain_by_name(mg_domain_t **pdomain, mg_db_t *db,
                               const char *name, apr_pool_t *p)
{
    return mg_domain_read_by_name(pdomain, NULL, db, name, p);
}

apr_status_t mg_domain_by_id(mg_domain_t **pdomain, mg_db_t *db,
                             apr_int64_t id, apr_pool_t *p)
{
    return mg_domain_read_by_id(pdomain, NULL, db, id, p);
}

/* All settings of a page of domains would be a join; a page is short. */
static apr_status_t load_all_settings(apr_array_header_t *list, mg_db_t *db,
                                      apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++)
        rv = mg_domain_load_settings(APR_ARRAY_IDX(list, i, mg_domain_t *),
                                     db, p);
    return rv;
}

apr_status_t mg_domain_list(apr_array_header_t **plist, apr_int64_t *ptotal,
                            mg_db_t *db, apr_int64_t account_id,
                            apr_int64_t skip, apr_int64_t limit,
                            apr_pool_t *p)
{
    apr_int64_t total = 0;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_domain_t *));
    rv = mg_db_get_int(db, &total,
                       "SELECT COUNT(*) FROM domain"
                       " WHERE ($1 = 0 OR account_id = $1)",
                       "i", account_id);
    if (rv != APR_SUCCESS)
        return rv;
    if (ptotal)
        *ptotal = total;
    rv = mg_db_query(&stmt, db,
                     "SELECT " DOMAIN_COLUMNS " FROM domain"
                     " WHERE ($1 = 0 OR account_id = $1)"
                     " ORDER BY name_lc LIMIT $2 OFFSET $3",
                     "iii", account_id, limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(*plist, mg_domain_t *) = domain_from_row(stmt, NULL, p);
    return rv == APR_EOF ? load_all_settings(*plist, db, p) : rv;
}

/* --- adding --- */

static apr_status_t insert_domain(mg_db_t *db, const mg_domain_t *domain)
{
    apr_int64_t added = 0;
    apr_status_t rv;

    rv = mg_db_exec(db, &added,
                    "INSERT INTO domain (id, account_id, name, name_lc, state,"
                    " created_at) VALUES ($1, $2, $3, $4, $5, $6)"
                    " ON CONFLICT (name_lc) DO NOTHING",
                    "iittti", domain->id, domain->account_id, domain->name,
                    domain->name_lc, domain->state,
                    (apr_int64_t)domain->created_at);
    return rv == APR_SUCCESS && added == 0 ? APR_EEXIST : rv;
}

apr_status_t mg_domain_add(mg_domain_t **pdomain, mg_db_t *db,
                           const mg_secret_t *secret, apr_int64_t account_id,
                           const char *name, const char *password_hash,
                           const mg_dkim_t *dkim, apr_pool_t *p)
{
    mg_domain_t *domain = apr_pcalloc(p, sizeof(*domain));
    mg_mailbox_t *postmaster;
    apr_status_t rv;
    int own;

    *pdomain = NULL;
    if (!mg_address_is_domain(name) || !mg_text_is_utf8(name, strlen(name)))
        return MG_EBADINPUT;
    domain->id = mg_id_next();
    domain->account_id = account_id;
    domain->name = apr_pstrdup(p, name);
    domain->name_lc = mg_text_lower(name, p);
    domain->state = "unverified"; /* until the keeper has seen its records */
    domain->created_at = mg_now();
    domain->revision = 1;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = insert_domain(db, domain);
    if (rv == APR_SUCCESS && dkim)
        rv = mg_dkim_insert(db, secret, domain->id, dkim, p);
    if (rv == APR_SUCCESS)
        rv = mg_mailbox_add(&postmaster, db, account_id, domain->id,
                            apr_pstrcat(p, "postmaster@", domain->name_lc,
                                        NULL),
                            password_hash, p);
    if (rv == APR_SUCCESS)
        rv = mg_domain_load_settings(domain, db, p);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *pdomain = domain;
    return rv;
}

/* --- removing --- */

/* At most limit queued rows of a domain, with what their events need. */
static apr_status_t queued_of(apr_array_header_t **plist, mg_db_t *db,
                              apr_int64_t domain_id, int limit, apr_pool_t *p)
{
    mg_event_t *event;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int transport;

    *plist = apr_array_make(p, 64, sizeof(mg_event_t));
    rv = mg_db_query(
        &stmt, db,
        "SELECT d.id, d.message_id, d.account_id, d.transport, d.recipient,"
        " d.recipient_as_given, d.attempts, m.direction, m.sender, m.subject"
        " FROM delivery d LEFT JOIN message m ON m.id = d.message_id"
        " WHERE d.transport IN (1, 2, 3, 4, 5, 7) AND d.hold IN (0, 1)"
        " AND d.domain_id = $1 LIMIT $2",
        "ii", domain_id, (apr_int64_t)limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        event = apr_array_push(*plist);
        memset(event, 0, sizeof(*event));
        event->kind = MG_EVENT_DROPPED;
        event->domain_id = domain_id;
        event->delivery_id = mg_stmt_int(stmt, 0);
        event->message_id = mg_stmt_int(stmt, 1);
        event->account_id = mg_stmt_int(stmt, 2);
        transport = (int)mg_stmt_int(stmt, 3);
        event->recipient = mg_stmt_text(stmt, 4, p);
        event->recipient_as_given = mg_stmt_text(stmt, 5, p);
        event->attempt = (int)mg_stmt_int(stmt, 6);
        event->direction = (int)mg_stmt_int(stmt, 7);
        event->sender = mg_stmt_text(stmt, 8, p);
        event->subject = mg_stmt_text(stmt, 9, p);
        event->reply = "domain was removed";
        if (transport == MG_TRANSPORT_HOOK
            || transport == MG_TRANSPORT_EXPANSION)
            event->kind = MG_EVENT_MAX; /* goes without a word */
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_domain_drop_queued(int *pmore, mg_db_t *db,
                                   apr_int64_t domain_id, apr_pool_t *p)
{
    apr_array_header_t *list;
    apr_status_t rv;
    int i, own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = queued_of(&list, db, domain_id, DROP_STEP, p);
    for (i = 0; rv == APR_SUCCESS && i < list->nelts; i++) {
        const mg_event_t *event = &APR_ARRAY_IDX(list, i, mg_event_t);
        apr_int64_t gone = 0;

        rv = mg_db_exec(db, &gone, "DELETE FROM delivery WHERE id = $1", "i",
                        event->delivery_id);
        if (rv == APR_SUCCESS && gone && event->kind != MG_EVENT_MAX)
            rv = mg_event_append(db, event, p);
    }
    *pmore = rv == APR_SUCCESS && list->nelts == DROP_STEP;
    return mg_tx_leave(db, own, rv);
}

static apr_status_t drop_queued(mg_db_t *db, apr_int64_t domain_id,
                                apr_pool_t *p)
{
    apr_pool_t *step;
    apr_status_t rv;
    int more;

    apr_pool_create(&step, p);
    do {
        apr_pool_clear(step);
        rv = mg_domain_drop_queued(&more, db, domain_id, step);
    } while (rv == APR_SUCCESS && more);
    apr_pool_destroy(step);
    return rv;
}

/* SQLite has one writer: nothing to hold there. */
apr_status_t mg_domain_hold(mg_db_t *db, apr_int64_t domain_id)
{
    apr_int64_t one;

    if (mg_db_kind(db) == MG_DB_PGSQL)
        return mg_db_get_int(db, &one, "SELECT 1 FROM domain WHERE id = $1"
                             " FOR SHARE", "i", domain_id);
    return mg_db_get_int(db, &one, "SELECT 1 FROM domain WHERE id = $1", "i",
                         domain_id);
}

/* What hangs on a domain; its messages and events expire by themselves. */
static apr_status_t remove_rows(mg_db_t *db, apr_int64_t domain_id)
{
    apr_status_t rv = mg_mailbox_delete_all(db, domain_id);
    int more; /* suppressions: the keeper's */

    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM smtp_credential"
                        " WHERE domain_id = $1", "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM dkim_key WHERE domain_id = $1",
                        "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM dns_check WHERE domain_id = $1",
                        "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM stored_message"
                        " WHERE domain_id = $1", "i", domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_campaign_remove_all(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_list_remove_all(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_suppression_forget(&more, db, domain_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL, "DELETE FROM setting WHERE scope = 'domain'"
                        " AND scope_id = $1", "i", domain_id);
    return rv;
}

apr_status_t mg_domain_remove(mg_db_t *db, apr_int64_t domain_id,
                              apr_pool_t *p)
{
    apr_int64_t gone = 0;
    apr_status_t rv = APR_SUCCESS;
    int own;

    /* the bulk in steps of their own, where nobody holds a transaction open;
     * what was accepted meanwhile goes with the domain */
    if (!mg_tx_is_open(db))
        rv = drop_queued(db, domain_id, p);
    if (rv == APR_SUCCESS)
        rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &gone, "DELETE FROM domain WHERE id = $1", "i",
                    domain_id);
    if (rv == APR_SUCCESS && gone == 0)
        rv = APR_ENOENT;
    if (rv == APR_SUCCESS)
        rv = remove_rows(db, domain_id);
    if (rv == APR_SUCCESS)
        rv = drop_queued(db, domain_id, p);
    return mg_tx_leave(db, own, rv);
}
