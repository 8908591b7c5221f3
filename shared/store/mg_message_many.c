/* mg_message_many.c - several messages by one statement.
 *
 * A sender that claimed hundreds of deliveries would otherwise make two round
 * trips for each message. The list of ids has a fixed length, so that there
 * is one statement to prepare; a short one repeats its last id.
 */
#include <string.h>

#include "mg_message.h"

#define SELECT_MANY \
    "SELECT m.id, m.account_id, m.domain_id, m.direction, m.method," \
    " m.message_id, m.sender, m.from_header, m.subject, m.options," \
    " m.variables, m.size, m.created_at, c.bytes" \
    " FROM message m LEFT JOIN content c" \
    " ON c.message_id = m.id AND c.seq = 0 AND m.size <= $1" \
    " WHERE m.id IN ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13," \
    " $14, $15, $16, $17)"

static mg_message_t *message_from_row(mg_stmt_t *stmt, apr_pool_t *p)
{
    mg_message_t *m = apr_pcalloc(p, sizeof(*m));

    m->id = mg_stmt_int(stmt, 0);
    m->account_id = mg_stmt_int(stmt, 1);
    m->domain_id = mg_stmt_int(stmt, 2);
    m->direction = (int)mg_stmt_int(stmt, 3);
    m->method = mg_stmt_text(stmt, 4, p);
    m->message_id = mg_stmt_text(stmt, 5, p);
    m->sender = mg_stmt_text(stmt, 6, p);
    m->from_header = mg_stmt_text(stmt, 7, p);
    m->subject = mg_stmt_text(stmt, 8, p);
    m->options = mg_stmt_text(stmt, 9, p);
    m->variables = mg_stmt_text(stmt, 10, p);
    m->size = mg_stmt_int(stmt, 11);
    m->created_at = mg_stmt_int(stmt, 12);
    if (!mg_stmt_is_null(stmt, 13)) {
        m->bytes = mg_stmt_blob(stmt, 13, &m->bytes_len, p);
        m->content_is_stored = 1;
    }
    return m;
}

apr_status_t mg_message_get_many(mg_message_t **messages, mg_db_t *db,
                                 const apr_int64_t *ids,
                                 apr_pool_t *const *pools, int n,
                                 apr_int64_t content_max)
{
    apr_int64_t a[MG_MESSAGES_AT_ONCE];
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    if (n < 1)
        return APR_SUCCESS;
    for (i = 0; i < MG_MESSAGES_AT_ONCE; i++)
        a[i] = ids[i < n ? i : n - 1];
    memset(messages, 0, sizeof(*messages) * (apr_size_t)n);
    rv = mg_db_query(&stmt, db, SELECT_MANY, "iiiiiiiiiiiiiiiii", content_max,
                     a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8],
                     a[9], a[10], a[11], a[12], a[13], a[14], a[15]);
    if (rv != APR_SUCCESS)
        return rv;
    while ((rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        for (i = 0; i < n && ids[i] != mg_stmt_int(stmt, 0); i++)
            ;
        if (i < n && !messages[i])
            messages[i] = message_from_row(stmt, pools[i]);
    }
    mg_stmt_done(stmt);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}
