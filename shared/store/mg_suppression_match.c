/* mg_suppression_match.c - the sender's question: who of these is suppressed? */
#include <string.h>

#include "mg_json.h"
#include "mg_suppression_private.h"

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
                           mg_suppression_key(asks[i].address, p)));
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
    *pcode = mg_suppression_tables[hit->kind].code;
    *pwhy = mg_suppression_tables[hit->kind].why;
    return hit->kind != MG_UNSUBSCRIBED || strcmp(hit->tag, "*") == 0
           || has_tag(options, hit->tag, p);
}
