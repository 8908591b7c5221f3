/* mg_campaign_column.c - rows of campaign_event as columns of a segment. */
#include <string.h>
#include <apr_siphash.h>
#include <apr_strings.h>

#include "mg_campaign_column.h"
#include "mg_status.h"
#include "mg_text.h"

#define TEXTS 8

apr_size_t mg_column_width(mg_campaign_column_t column)
{
    return column == MG_COLUMN_TIME || column == MG_COLUMN_TEXT_END ? 4 : 8;
}

/* Stored with the rows: never another. It need not be secret; who makes texts
 * that collide spoils the figures of his own campaign. */
static const unsigned char hash_key[APR_SIPHASH_KSIZE] = "campaign columns";

apr_uint64_t mg_column_key(mg_campaign_column_t column, const char *text)
{
    char lower[320];
    apr_size_t len = strlen(text), i;
    apr_uint64_t key;

    if (!len)
        return 0;
    if (column != MG_COLUMN_LINK && len <= sizeof(lower)) {
        for (i = 0; i < len; i++)
            lower[i] = text[i] >= 'A' && text[i] <= 'Z' ? text[i] | 0x20
                                                        : text[i];
        text = lower;
    }
    key = apr_siphash24(text, len, hash_key);
    return key ? key : 1;
}

const char *mg_column_domain(const char *recipient)
{
    const char *at = strrchr(recipient, '@');

    return at ? at + 1 : "";
}

/* rows */

static void read_row(mg_campaign_row_t *row, mg_stmt_t *stmt, apr_pool_t *p)
{
    row->id = mg_stmt_int(stmt, 0);
    row->created_at = mg_stmt_int(stmt, 1);
    row->message_id = mg_stmt_int(stmt, 2);
    row->recipient = mg_stmt_text(stmt, 3, p);
    row->link = mg_stmt_text(stmt, 4, p);
    row->country = mg_stmt_text(stmt, 5, p);
    row->region = mg_stmt_text(stmt, 6, p);
    row->city = mg_stmt_text(stmt, 7, p);
    row->ip = mg_stmt_text(stmt, 8, p);
    row->user_agent = mg_stmt_text(stmt, 9, p);
    row->tags = mg_stmt_text(stmt, 10, p);
}

apr_status_t mg_column_waiting(apr_array_header_t **prows, mg_db_t *db,
                               apr_int64_t campaign_id,
                               mg_campaign_kind_t kind, apr_int64_t limit,
                               apr_pool_t *p)
{
    mg_campaign_row_t *row;
    mg_stmt_t *stmt;
    apr_status_t rv;

    *prows = apr_array_make(p, 64, sizeof(mg_campaign_row_t));
    rv = mg_db_query(&stmt, db,
                     "SELECT id, created_at, message_id, recipient, link,"
                     " country, region, city, ip, user_agent, tags"
                     " FROM campaign_event WHERE campaign_id = $1"
                     " AND kind = $2 ORDER BY id LIMIT $3", "iii",
                     campaign_id, (apr_int64_t)kind, limit);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        row = apr_array_push(*prows);
        row->kind = kind;
        read_row(row, stmt, p);
    }
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* columns */

static apr_uint64_t value_of(mg_campaign_column_t column,
                             const mg_campaign_row_t *row)
{
    switch (column) {
    case MG_COLUMN_ID:
        return (apr_uint64_t)row->id;
    case MG_COLUMN_TIME:
        return (apr_uint64_t)apr_time_sec(row->created_at);
    case MG_COLUMN_MESSAGE:
        return (apr_uint64_t)row->message_id;
    case MG_COLUMN_RECIPIENT:
        return mg_column_key(column, row->recipient);
    case MG_COLUMN_DOMAIN:
        return mg_column_key(column, mg_column_domain(row->recipient));
    case MG_COLUMN_LINK:
        return mg_column_key(column, row->link);
    case MG_COLUMN_COUNTRY:
        return mg_column_key(column, row->country);
    case MG_COLUMN_REGION:
        return mg_column_key(column, row->region);
    case MG_COLUMN_CITY:
        return mg_column_key(column, row->city);
    default:
        return 0;
    }
}

static void put(unsigned char *to, apr_uint64_t value, apr_size_t width)
{
    apr_size_t i;

    for (i = 0; i < width; i++)
        to[i] = (unsigned char)(value >> (8 * i));
}

static void texts_of(const char *texts[TEXTS], const mg_campaign_row_t *row)
{
    texts[0] = row->recipient;
    texts[1] = row->link;
    texts[2] = row->country;
    texts[3] = row->region;
    texts[4] = row->city;
    texts[5] = row->ip;
    texts[6] = row->user_agent;
    texts[7] = row->tags;
}

static apr_size_t text_len(const mg_campaign_row_t *row)
{
    const char *texts[TEXTS];
    apr_size_t len = 0;
    int i;

    texts_of(texts, row);
    for (i = 0; i < TEXTS; i++)
        len += strlen(texts[i]) + 1;
    return len;
}

static const void *make_text(apr_size_t *plen, const apr_array_header_t *rows,
                             apr_pool_t *p)
{
    const char *texts[TEXTS];
    apr_size_t len = 0, n;
    char *bytes, *to;
    int i, j;

    for (i = 0; i < rows->nelts; i++)
        len += text_len(&APR_ARRAY_IDX(rows, i, mg_campaign_row_t));
    bytes = to = apr_palloc(p, len + 1);
    for (i = 0; i < rows->nelts; i++) {
        texts_of(texts, &APR_ARRAY_IDX(rows, i, mg_campaign_row_t));
        for (j = 0; j < TEXTS; j++) {
            n = strlen(texts[j]) + 1;
            memcpy(to, texts[j], n);
            to += n;
        }
    }
    *plen = len;
    return bytes;
}

static const void *make_ends(apr_size_t *plen, const apr_array_header_t *rows,
                             apr_pool_t *p)
{
    unsigned char *bytes = apr_palloc(p, (apr_size_t)rows->nelts * 4 + 1);
    apr_size_t end = 0;
    int i;

    for (i = 0; i < rows->nelts; i++) {
        end += text_len(&APR_ARRAY_IDX(rows, i, mg_campaign_row_t));
        put(bytes + (apr_size_t)i * 4, end, 4);
    }
    *plen = (apr_size_t)rows->nelts * 4;
    return bytes;
}

const void *mg_column_make(apr_size_t *plen, mg_campaign_column_t column,
                           const apr_array_header_t *rows, apr_pool_t *p)
{
    apr_size_t width = mg_column_width(column);
    apr_uint64_t value, any = 0;
    unsigned char *bytes;
    int i;

    if (column == MG_COLUMN_TEXT)
        return make_text(plen, rows, p);
    if (column == MG_COLUMN_TEXT_END)
        return make_ends(plen, rows, p);
    bytes = apr_palloc(p, (apr_size_t)rows->nelts * width + 1);
    for (i = 0; i < rows->nelts; i++) {
        value = value_of(column, &APR_ARRAY_IDX(rows, i, mg_campaign_row_t));
        any |= value;
        put(bytes + (apr_size_t)i * width, value, width);
    }
    *plen = any ? (apr_size_t)rows->nelts * width : 0;
    return bytes;
}

apr_status_t mg_column_text(mg_campaign_row_t *row, const char *text,
                            apr_size_t len, apr_pool_t *p)
{
    const char *texts[TEXTS], *end;
    int i;

    text = apr_pstrmemdup(p, text, len);
    for (i = 0; i < TEXTS; i++) {
        end = memchr(text, '\0', len);
        if (!end || !len)
            return MG_EIO;
        texts[i] = text;
        len -= (apr_size_t)(end - text) + 1;
        text = end + 1;
    }
    row->recipient = texts[0];
    row->link = texts[1];
    row->country = texts[2];
    row->region = texts[3];
    row->city = texts[4];
    row->ip = texts[5];
    row->user_agent = texts[6];
    row->tags = texts[7];
    return len ? MG_EIO : APR_SUCCESS;
}
