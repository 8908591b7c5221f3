/* mg_campaign_column.h - rows of campaign_event as columns of a segment.
 *
 * A column is a blob: one integer per row, little-endian, rows by id. Texts
 * are in it as 64-bit keys: all that a report groups by, counts apart or
 * filters by is equal where keys are equal (two texts of a million share one
 * with a probability of 3 in 10^8). Addresses, domains and places are the same
 * in any case of letters. The texts themselves are in TEXT, 8 per row, each
 * ended by NUL; TEXT_END says where the row's end.
 */
#ifndef MG_CAMPAIGN_COLUMN_H
#define MG_CAMPAIGN_COLUMN_H

#include <apr_tables.h>
#include "mg_campaign_event.h"

/* Stored: numbers stay. */
typedef enum {
    MG_COLUMN_ID,        /* 8 octets per row */
    MG_COLUMN_TIME,      /* 4: seconds since 1970 */
    MG_COLUMN_MESSAGE,   /* 8: message.id */
    MG_COLUMN_RECIPIENT, /* 8: key */
    MG_COLUMN_DOMAIN,    /* 8: key */
    MG_COLUMN_LINK,      /* 8: key */
    MG_COLUMN_COUNTRY,   /* 8: key */
    MG_COLUMN_REGION,    /* 8: key */
    MG_COLUMN_CITY,      /* 8: key */
    MG_COLUMN_TEXT_END,  /* 4 */
    MG_COLUMN_TEXT,
    MG_COLUMNS
} mg_campaign_column_t;

typedef struct {
    mg_campaign_kind_t kind;
    apr_int64_t id, message_id;
    apr_time_t created_at;
    const char *recipient, *link, *country, *region, *city;
    const char *ip, *user_agent, *tags;    /* tags: JSON or "" */
} mg_campaign_row_t;

/** Octets per row, of all but TEXT. */
apr_size_t mg_column_width(mg_campaign_column_t column);
/** What stands for a text; 0 for "". */
apr_uint64_t mg_column_key(mg_campaign_column_t column, const char *text);
/** "b.test" of "a@b.test". */
const char *mg_column_domain(const char *recipient);

/** Rows that wait, by id, at most limit; array of mg_campaign_row_t. */
apr_status_t mg_column_waiting(apr_array_header_t **prows, mg_db_t *db,
                               apr_int64_t campaign_id,
                               mg_campaign_kind_t kind, apr_int64_t limit,
                               apr_pool_t *p);
/** One column of rows, as stored; *plen 0: all is empty. */
const void *mg_column_make(apr_size_t *plen, mg_campaign_column_t column,
                           const apr_array_header_t *rows, apr_pool_t *p);
/** The texts of one row. @return MG_EIO if that is damaged */
apr_status_t mg_column_text(mg_campaign_row_t *row, const char *text,
                            apr_size_t len, apr_pool_t *p);

#endif
