/* mg_quota.c - how much a mailbox and a domain may hold, held to strictly.
 *
 * used + reserved + n <= limit is asked and written by one statement. SQLite
 * has one writer at a time. PostgreSQL has many: the row whose limit is asked
 * is locked first, so that two that do not fit together see each other.
 */
#include "mg_id.h"
#include "mg_mailbox.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

#define DOMAIN_LIMIT                                                          \
    "COALESCE((SELECT CAST(s.value AS BIGINT) FROM setting s"                 \
    " WHERE s.scope = 'domain' AND s.scope_id = b.domain_id"                  \
    " AND s.name = 'quota_bytes'), 0)"
#define MAILBOX_USED                                                          \
    "COALESCE((SELECT u.bytes FROM mailbox_usage u"                           \
    " WHERE u.mailbox_id = b.id), 0)"
#define MAILBOX_RESERVED                                                      \
    "COALESCE((SELECT SUM(r.bytes) FROM quota_reservation r"                  \
    " WHERE r.mailbox_id = b.id), 0)"
#define DOMAIN_USED                                                           \
    "COALESCE((SELECT SUM(u.bytes) FROM mailbox_usage u"                      \
    " WHERE u.domain_id = b.domain_id), 0)"
#define DOMAIN_RESERVED                                                       \
    "COALESCE((SELECT SUM(r.bytes) FROM quota_reservation r"                  \
    " WHERE r.domain_id = b.domain_id), 0)"

/* The mailbox's row; the domain's too where the domain has a limit. */
static apr_status_t lock_rows(mg_db_t *db, apr_int64_t mailbox_id)
{
    apr_int64_t id, limit = 0;
    apr_status_t rv;

    if (mg_db_kind(db) != MG_DB_PGSQL)
        return APR_SUCCESS;
    rv = mg_db_get_int(db, &id,
                       "SELECT d.id FROM domain d JOIN mailbox b"
                       " ON b.domain_id = d.id JOIN setting s"
                       " ON s.scope = 'domain' AND s.scope_id = d.id"
                       " AND s.name = 'quota_bytes'"
                       " WHERE b.id = $1 FOR UPDATE OF d",
                       "i", mailbox_id);
    if (rv != APR_SUCCESS && rv != APR_ENOENT)
        return rv;
    rv = mg_db_get_int(db, &limit,
                       "SELECT b.id FROM mailbox b WHERE b.id = $1 FOR UPDATE",
                       "i", mailbox_id);
    return rv == APR_ENOENT ? APR_SUCCESS : rv;
}

static apr_status_t reserve(apr_int64_t id, mg_db_t *db,
                            apr_int64_t mailbox_id, apr_int64_t bytes,
                            apr_int64_t messages, apr_int64_t default_quota,
                            const char *owner)
{
    apr_int64_t added = 0, there;
    apr_status_t rv;

    rv = mg_db_exec(
        db, &added,
        "INSERT INTO quota_reservation (id, mailbox_id, domain_id, bytes,"
        " messages, owner, created_at)"
        " SELECT $1, b.id, b.domain_id, $2, $3, $4, $5 FROM mailbox b"
        " WHERE b.id = $6 AND b.deleted_at IS NULL"
        " AND ($2 = 0 OR COALESCE(b.quota_bytes, $7) = 0 OR " MAILBOX_USED
        " + " MAILBOX_RESERVED " + $2 <= COALESCE(b.quota_bytes, $7))"
        " AND ($2 = 0 OR " DOMAIN_LIMIT " = 0 OR " DOMAIN_USED " + " DOMAIN_RESERVED
        " + $2 <= " DOMAIN_LIMIT ")",
        "iiitiii", id, bytes, messages, owner, (apr_int64_t)mg_now(),
        mailbox_id, default_quota);
    if (rv != APR_SUCCESS || added == 1)
        return rv;
    rv = mg_db_get_int(db, &there,
                       "SELECT 1 FROM mailbox WHERE id = $1"
                       " AND deleted_at IS NULL",
                       "i", mailbox_id);
    return rv == APR_SUCCESS ? MG_EQUOTA : rv;
}

apr_status_t mg_quota_reserve(apr_int64_t *preservation, mg_db_t *db,
                              apr_int64_t mailbox_id, apr_int64_t bytes,
                              apr_int64_t messages, apr_int64_t default_quota,
                              const char *owner)
{
    apr_int64_t id = mg_id_next();
    apr_status_t rv;
    int own;

    *preservation = 0;
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = lock_rows(db, mailbox_id);
    if (rv == APR_SUCCESS)
        rv = reserve(id, db, mailbox_id, bytes, messages, default_quota,
                     owner);
    rv = mg_tx_leave(db, own, rv);
    if (rv == APR_SUCCESS)
        *preservation = id;
    return rv;
}

static apr_status_t add_usage(mg_db_t *db, apr_int64_t mailbox_id,
                              apr_int64_t bytes, apr_int64_t messages)
{
    /* a mailbox that is gone counts no more */
    return mg_db_exec(
        db, NULL,
        "INSERT INTO mailbox_usage (mailbox_id, domain_id, bytes, messages,"
        " updated_at) SELECT b.id, b.domain_id, $1, $2, $3 FROM mailbox b"
        " WHERE b.id = $4 AND b.deleted_at IS NULL"
        " ON CONFLICT (mailbox_id) DO UPDATE SET"
        " bytes = mailbox_usage.bytes + excluded.bytes,"
        " messages = mailbox_usage.messages + excluded.messages,"
        " updated_at = excluded.updated_at",
        "iiii", bytes, messages, (apr_int64_t)mg_now(), mailbox_id);
}

apr_status_t mg_quota_settle(mg_db_t *db, apr_int64_t reservation,
                             apr_int64_t mailbox_id, apr_int64_t bytes_delta,
                             apr_int64_t messages_delta)
{
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    if (reservation)
        rv = mg_quota_release(db, reservation);
    if (rv == APR_SUCCESS)
        rv = add_usage(db, mailbox_id, bytes_delta, messages_delta);
    return mg_tx_leave(db, own, rv);
}

apr_status_t mg_quota_release(mg_db_t *db, apr_int64_t reservation)
{
    return mg_db_exec(db, NULL, "DELETE FROM quota_reservation WHERE id = $1",
                      "i", reservation);
}

apr_status_t mg_quota_orphan(int *pn, mg_db_t *db, const char *owner)
{
    apr_int64_t n = 0;
    apr_status_t rv = mg_db_exec(db, &n,
                                 "UPDATE quota_reservation SET owner = ''"
                                 " WHERE owner = $1",
                                 "t", owner);

    *pn = (int)n;
    return rv;
}

apr_status_t mg_quota_recount(mg_db_t *db, apr_int64_t mailbox_id,
                              apr_int64_t bytes, apr_int64_t messages,
                              apr_int64_t newest_reservation)
{
    apr_status_t rv;
    int own;

    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(
        db, NULL,
        "INSERT INTO mailbox_usage (mailbox_id, domain_id, bytes, messages,"
        " updated_at) SELECT b.id, b.domain_id, $1, $2, $3 FROM mailbox b"
        " WHERE b.id = $4 AND b.deleted_at IS NULL"
        " ON CONFLICT (mailbox_id) DO UPDATE SET bytes = excluded.bytes,"
        " messages = excluded.messages, updated_at = excluded.updated_at",
        "iiii", bytes, messages, (apr_int64_t)mg_now(), mailbox_id);
    if (rv == APR_SUCCESS)
        rv = mg_db_exec(db, NULL,
                        "DELETE FROM quota_reservation WHERE mailbox_id = $1"
                        " AND id <= $2",
                        "ii", mailbox_id, newest_reservation);
    return mg_tx_leave(db, own, rv);
}

static apr_int64_t at_least_0(apr_int64_t n)
{
    return n < 0 ? 0 : n;
}

apr_status_t mg_quota_get(mg_quota_t *quota, mg_db_t *db,
                          apr_int64_t mailbox_id, apr_int64_t default_quota)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(
        &stmt, db,
        "SELECT u.bytes, u.messages, COALESCE(b.quota_bytes, $1),"
        " CAST(" DOMAIN_USED " AS BIGINT), " DOMAIN_LIMIT ","
        " CASE WHEN EXISTS (SELECT 1 FROM quota_reservation r"
        "  WHERE r.mailbox_id = b.id AND (r.owner = ''"
        "   OR r.created_at < $2)) THEN 1 ELSE 0 END"
        " FROM mailbox b LEFT JOIN mailbox_usage u ON u.mailbox_id = b.id"
        " WHERE b.id = $3 AND b.deleted_at IS NULL",
        "iii", default_quota, (apr_int64_t)(mg_now() - MG_QUOTA_STALE_AFTER),
        mailbox_id);
    if (rv == APR_SUCCESS)
        rv = mg_stmt_next(stmt);
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    quota->used_bytes = at_least_0(mg_stmt_int(stmt, 0));
    quota->used_messages = at_least_0(mg_stmt_int(stmt, 1));
    quota->limit_bytes = mg_stmt_int(stmt, 2);
    quota->domain_used_bytes = at_least_0(mg_stmt_int(stmt, 3));
    quota->domain_limit_bytes = mg_stmt_int(stmt, 4);
    quota->dirty = (int)mg_stmt_int(stmt, 5);
    mg_stmt_done(stmt);
    return APR_SUCCESS;
}
