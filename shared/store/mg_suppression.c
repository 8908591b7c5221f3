/* mg_suppression.c - see mg_suppression.h. */
#include <apr_strings.h>
#include <string.h>

#include "mg_id.h"
#include "mg_json.h"
#include "mg_suppression.h"
#include "mg_text.h"
#include "mg_time.h"

/* Columns of a listing: address, created_at, code, error, class, count, tag,
 * public id. */
static const struct {
    const char *name;
    const char *remove, *remove_tag, *count, *clear;
    const char *list, *get;
    int code;                    /* of the drop (reference, section 12) */
    const char *why;
} tables[] = {
    [MG_BOUNCED] = {
        "bounce",
        "DELETE FROM bounce WHERE domain_id = $1 AND address_lc = $2", NULL,
        "SELECT COUNT(*) FROM bounce WHERE domain_id = $1",
        "DELETE FROM bounce WHERE domain_id = $1",
        "SELECT address, created_at, code, error, class, 0, '', ''"
        " FROM bounce WHERE domain_id = $1 AND address_lc > $2"
        " ORDER BY address_lc LIMIT $3 OFFSET $4",
        "SELECT address, created_at, code, error, class, 0, '', ''"
        " FROM bounce WHERE domain_id = $1 AND address_lc = $2",
        605, "Not delivering to previously bounced address" },
    [MG_UNSUBSCRIBED] = {
        "unsubscribe",
        "DELETE FROM unsubscribe WHERE domain_id = $1 AND address_lc = $2",
        "DELETE FROM unsubscribe WHERE domain_id = $1 AND address_lc = $2"
        " AND tag = $3",
        "SELECT COUNT(*) FROM unsubscribe WHERE domain_id = $1",
        "DELETE FROM unsubscribe WHERE domain_id = $1",
        "SELECT address, created_at, '', '', '', 0, tag, public_id"
        " FROM unsubscribe WHERE domain_id = $1 AND address_lc > $2"
        " ORDER BY address_lc, tag LIMIT $3 OFFSET $4",
        "SELECT address, created_at, '', '', '', 0, tag, public_id"
        " FROM unsubscribe WHERE domain_id = $1 AND address_lc = $2"
        " ORDER BY tag",
        606, "Not delivering to unsubscribed address" },
    [MG_COMPLAINED] = {
        "complaint",
        "DELETE FROM complaint WHERE domain_id = $1 AND address_lc = $2",
        NULL,
        "SELECT COUNT(*) FROM complaint WHERE domain_id = $1",
        "DELETE FROM complaint WHERE domain_id = $1",
        "SELECT address, created_at, '', '', '', count, '', ''"
        " FROM complaint WHERE domain_id = $1 AND address_lc > $2"
        " ORDER BY address_lc LIMIT $3 OFFSET $4",
        "SELECT address, created_at, '', '', '', count, '', ''"
        " FROM complaint WHERE domain_id = $1 AND address_lc = $2",
        607, "Not delivering to a user who marked your messages as spam" },
};

const char *mg_suppression_name(mg_suppression_kind_t kind)
{
    return tables[kind].name;
}

int mg_suppression_by_name(const char *name)
{
    int kind;

    for (kind = 0; kind < MG_SUPPRESSIONS; kind++)
        if (strcmp(tables[kind].name, name) == 0)
            return kind;
    return -1;
}

/* --- rows --- */

static const char *clean(const char *text, const char *unsaid, apr_pool_t *p)
{
    return text ? mg_text_clean(text, strlen(text), p) : unsaid;
}

static const char *key_of(const char *address, apr_pool_t *p)
{
    return mg_text_lower(mg_text_clean(address, strlen(address), p), p);
}

apr_status_t mg_suppression_add(mg_db_t *db, apr_int64_t domain_id,
                                const mg_suppression_t *entry, apr_pool_t *p)
{
    apr_int64_t now = entry->created_at ? entry->created_at : mg_now();
    const char *address = clean(entry->address, "", p);
    const char *key = key_of(entry->address, p);

    switch (entry->kind) {
    case MG_BOUNCED:
        return mg_db_exec(
            db, NULL,
            "INSERT INTO bounce (domain_id, address_lc, address, code, error,"
            " class, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
            " ON CONFLICT (domain_id, address_lc) DO UPDATE SET"
            " address = excluded.address, code = excluded.code,"
            " error = excluded.error, class = excluded.class,"
            " created_at = excluded.created_at",
            "ittttti", domain_id, key, address, clean(entry->code, "550", p),
            clean(entry->error, "", p), clean(entry->class, "", p), now);
    case MG_COMPLAINED:
        return mg_db_exec(
            db, NULL,
            "INSERT INTO complaint (domain_id, address_lc, address, count,"
            " created_at) VALUES ($1, $2, $3, 1, $4)"
            " ON CONFLICT (domain_id, address_lc) DO UPDATE SET"
            " count = complaint.count + 1, created_at = excluded.created_at",
            "itti", domain_id, key, address, now);
    case MG_UNSUBSCRIBED:
        return mg_db_exec(
            db, NULL,
            "INSERT INTO unsubscribe (domain_id, address_lc, tag, address,"
            " public_id, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
            " ON CONFLICT (domain_id, address_lc, tag) DO NOTHING",
            "itttti", domain_id, key, clean(entry->tag, "*", p), address,
            mg_id_hex24(p), now);
    case MG_SUPPRESSIONS:
        break;
    }
    return APR_EINVAL;
}

apr_status_t mg_suppression_remove(mg_db_t *db, apr_int64_t domain_id,
                                   mg_suppression_kind_t kind,
                                   const char *address, const char *tag,
                                   apr_pool_t *p)
{
    apr_int64_t n = 0;
    apr_status_t rv;

    if (tag && tables[kind].remove_tag)
        rv = mg_db_exec(db, &n, tables[kind].remove_tag, "itt", domain_id,
                        key_of(address, p), clean(tag, "", p));
    else
        rv = mg_db_exec(db, &n, tables[kind].remove, "it", domain_id,
                        key_of(address, p));
    if (rv == APR_SUCCESS && n == 0)
        return APR_ENOENT;
    return rv;
}

apr_status_t mg_suppression_list(apr_array_header_t **plist, mg_db_t *db,
                                 apr_int64_t domain_id,
                                 mg_suppression_kind_t kind,
                                 const char *address, const char *after,
                                 apr_int64_t skip, apr_int64_t limit,
                                 apr_pool_t *p)
{
    mg_suppression_t *entry;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *plist = apr_array_make(p, 16, sizeof(mg_suppression_t));
    if (address)
        rv = mg_db_query(&stmt, db, tables[kind].get, "it", domain_id,
                         key_of(address, p));
    else
        rv = mg_db_query(&stmt, db, tables[kind].list, "itii", domain_id,
                         key_of(after ? after : "", p), limit, skip);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        entry = apr_array_push(*plist);
        entry->kind = kind;
        entry->address = mg_stmt_text(stmt, 0, p);
        entry->created_at = mg_stmt_int(stmt, 1);
        entry->code = mg_stmt_text(stmt, 2, p);
        entry->error = mg_stmt_text(stmt, 3, p);
        entry->class = mg_stmt_text(stmt, 4, p);
        entry->count = mg_stmt_int(stmt, 5);
        entry->tag = mg_stmt_text(stmt, 6, p);
        entry->public_id = mg_stmt_text(stmt, 7, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_suppression_count(apr_int64_t *pn, mg_db_t *db,
                                  apr_int64_t domain_id,
                                  mg_suppression_kind_t kind)
{
    *pn = 0;
    return mg_db_get_int(db, pn, tables[kind].count, "i", domain_id);
}

apr_status_t mg_suppression_clear(mg_db_t *db, apr_int64_t domain_id, int kind)
{
    apr_status_t rv = APR_SUCCESS;
    int k;

    for (k = 0; rv == APR_SUCCESS && k < MG_SUPPRESSIONS; k++)
        if (kind < 0 || kind == k)
            rv = mg_db_exec(db, NULL, tables[k].clear, "i", domain_id);
    return rv;
}

/* --- the sender's question --- */

/* The questions go as one JSON array, [[domain id, "address"], ...]; how that
 * becomes rows is all that differs. Kinds are those of the enum. */
#define MATCH(rows, key, value)                                               \
    "WITH asks AS MATERIALIZED (SELECT CAST(" key " AS BIGINT) AS i,"         \
    " CAST(" value "->>0 AS BIGINT) AS domain_id, " value "->>1 AS address"   \
    " FROM " rows ")"                                                         \
    " SELECT a.i, 0, '' FROM asks a JOIN bounce b"                            \
    "  ON b.domain_id = a.domain_id AND b.address_lc = a.address"             \
    " UNION ALL SELECT a.i, 1, u.tag FROM asks a JOIN unsubscribe u"          \
    "  ON u.domain_id = a.domain_id AND u.address_lc = a.address"             \
    " UNION ALL SELECT a.i, 2, '' FROM asks a JOIN complaint c"               \
    "  ON c.domain_id = a.domain_id AND c.address_lc = a.address"             \
    " ORDER BY 1, 2"
#define MATCH_SQLITE MATCH("json_each($1) j", "j.key", "j.value")
#define MATCH_PGSQL                                                           \
    MATCH("json_array_elements(CAST($1 AS json)) WITH ORDINALITY AS j(v, n)", \
          "j.n - 1", "j.v")

static apr_status_t is_any(int *pany, mg_db_t *db)
{
    apr_int64_t any = 0;
    apr_status_t rv;

    rv = mg_db_get_int(db, &any,
                       "SELECT CASE WHEN EXISTS (SELECT 1 FROM bounce)"
                       " OR EXISTS (SELECT 1 FROM unsubscribe)"
                       " OR EXISTS (SELECT 1 FROM complaint)"
                       " THEN 1 ELSE 0 END", "");
    *pany = any != 0;
    return rv;
}

static const char *asks_json(const mg_suppression_ask_t *asks, int n,
                             apr_pool_t *p)
{
    json_t *all = json_array();
    char *text;
    int i;

    for (i = 0; i < n; i++)
        json_array_append_new(
            all, json_pack("[Is]", (json_int_t)asks[i].domain_id,
                           key_of(asks[i].address, p)));
    text = mg_json_compact(all, p);
    json_decref(all);
    return text;
}

apr_status_t mg_suppression_match(apr_array_header_t **phits, mg_db_t *db,
                                  const mg_suppression_ask_t *asks, int n,
                                  apr_pool_t *p)
{
    mg_suppression_hit_t *hit;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int any;

    *phits = apr_array_make(p, 4, sizeof(mg_suppression_hit_t));
    if (n == 0)
        return APR_SUCCESS;
    rv = is_any(&any, db);
    if (rv != APR_SUCCESS || !any)
        return rv;
    rv = mg_db_query(&stmt, db, mg_db_kind(db) == MG_DB_PGSQL ? MATCH_PGSQL
                                                              : MATCH_SQLITE,
                     "t", asks_json(asks, n, p));
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        hit = apr_array_push(*phits);
        hit->index = (int)mg_stmt_int(stmt, 0);
        hit->kind = (mg_suppression_kind_t)mg_stmt_int(stmt, 1);
        hit->tag = hit->kind == MG_UNSUBSCRIBED ? mg_stmt_text(stmt, 2, p)
                                                : NULL;
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static int has_tag(const char *options, const char *tag, apr_pool_t *p)
{
    const char *error;
    json_t *json, *value;
    size_t i;

    if (!options || !*options)
        return 0;
    json = mg_json_parse(options, strlen(options), &error, p);
    json_array_foreach(json_object_get(json, "tags"), i, value)
        if (json_is_string(value)
            && strcasecmp(json_string_value(value), tag) == 0)
            return 1;
    return 0;
}

int mg_suppression_stops(int *pcode, const char **pwhy,
                         const mg_suppression_hit_t *hit, const char *options,
                         apr_pool_t *p)
{
    *pcode = tables[hit->kind].code;
    *pwhy = tables[hit->kind].why;
    return hit->kind != MG_UNSUBSCRIBED || strcmp(hit->tag, "*") == 0
           || has_tag(options, hit->tag, p);
}
