/* mg_event_page.c - events of a domain, page by page. */
#include <string.h>
#include <apr_strings.h>

#include "mg_event_page.h"
#include "mg_id.h"
#include "mg_time.h"

/* Rows looked at by one statement: few at first, as most pages are full with
 * them; more where few are wanted. No statement reads for long: index entries
 * cost a tenth of a row. */
#define WINDOW_MIN 128
#define WINDOW_MAX 4096
#define SIEVE_MIN 1024
#define SIEVE_MAX 32768
#define RECIPIENTS_MAX 100

#define COLUMNS                                                               \
    "e.id, e.kind, e.recipient, e.detail, e.created_at, m.id, m.direction,"   \
    " m.method, m.message_id, m.sender, m.from_header, m.subject, m.options," \
    " m.variables, m.summary, m.size, m.recipients"

/* $1 domain, $2 low, $3 high, $4 window */
#define WINDOW(direction)                                                     \
    "SELECT " COLUMNS " FROM (SELECT id, message_id, kind, recipient, detail,"\
    " created_at FROM event WHERE domain_id = $1 AND id >= $2 AND id < $3"    \
    " ORDER BY id " direction " LIMIT $4) e"                                  \
    " LEFT JOIN message m ON m.id = e.message_id ORDER BY e.id " direction

/* A window of the index event_domain, and of these the rows that pass, the
 * first $6 of them. $1 domain, $2 low, $3 high, $4 window, $5 recipient,
 * $7 to $14 kinds */
#define SIEVE(direction)                                                      \
    "SELECT " COLUMNS " FROM event e"                                         \
    " LEFT JOIN message m ON m.id = e.message_id WHERE e.id IN ("             \
    "SELECT w.id FROM (SELECT id, kind, recipient FROM event"                 \
    " WHERE domain_id = $1 AND id >= $2 AND id < $3 ORDER BY id " direction   \
    " LIMIT $4) w WHERE ($5 = '' OR lower(w.recipient) = $5)"                 \
    " AND ($7 = '' OR w.kind IN ($7, $8, $9, $10, $11, $12, $13, $14))"       \
    " ORDER BY w.id " direction " LIMIT $6) ORDER BY e.id " direction

/* Its last entry. $1 domain, $2 low, $3 high, $4 window - 1 */
#define WINDOW_END(direction)                                                 \
    "SELECT id FROM event WHERE domain_id = $1 AND id >= $2 AND id < $3"      \
    " ORDER BY id " direction " LIMIT 1 OFFSET $4"

/* Events of one message, found by it: the signs keep SQLite from walking the
 * domain's. $1 domain, $2 low, $3 high, $4 window, $5 message-id */
#define OF_MESSAGE(direction)                                                 \
    "SELECT " COLUMNS " FROM message m JOIN event e ON e.message_id = m.id"   \
    " WHERE m.message_id = $5 AND +m.domain_id = $1 AND +e.domain_id = $1"    \
    " AND +e.id >= $2 AND +e.id < $3"                                         \
    " ORDER BY +e.id " direction " LIMIT $4"

static const char *const window_sql[2] = { WINDOW("ASC"), WINDOW("DESC") };
static const char *const sieve_sql[2] = { SIEVE("ASC"), SIEVE("DESC") };
static const char *const window_end_sql[2] = { WINDOW_END("ASC"),
                                               WINDOW_END("DESC") };
static const char *const of_message_sql[2] = { OF_MESSAGE("ASC"),
                                               OF_MESSAGE("DESC") };

typedef struct {
    const mg_event_query_t *query;
    mg_db_t *db;
    apr_array_header_t *rows;
    apr_int64_t low, high;      /* what is still to be looked at */
    apr_time_t began;           /* mg_ticks() */
    int is_late;                /* a window was not looked at to its end */
    apr_pool_t *p, *pwindow;    /* of one window */
} walk_t;

static const char *text(mg_stmt_t *stmt, int col, apr_pool_t *p)
{
    const char *s = mg_stmt_text(stmt, col, p);

    return s ? s : "";
}

static void read_row(mg_event_row_t *row, mg_stmt_t *stmt, apr_pool_t *p)
{
    memset(row, 0, sizeof(*row));
    row->id = mg_stmt_int(stmt, 0);
    row->kind = text(stmt, 1, p);
    row->recipient = text(stmt, 2, p);
    row->detail = text(stmt, 3, p);
    row->created_at = mg_stmt_int(stmt, 4);
    row->message = mg_stmt_int(stmt, 5);
    row->direction = (int)mg_stmt_int(stmt, 6);
    row->method = text(stmt, 7, p);
    row->message_id = text(stmt, 8, p);
    row->sender = text(stmt, 9, p);
    row->from_header = text(stmt, 10, p);
    row->subject = text(stmt, 11, p);
    row->options = text(stmt, 12, p);
    row->variables = text(stmt, 13, p);
    row->summary = text(stmt, 14, p);
    row->size = mg_stmt_int(stmt, 15);
    row->recipients = mg_stmt_int(stmt, 16);
}

static mg_event_row_t *keep(const mg_event_row_t *row, apr_pool_t *p)
{
    mg_event_row_t *kept = apr_pmemdup(p, row, sizeof(*row));
    const char **texts[] = { &kept->kind, &kept->recipient, &kept->detail,
                             &kept->method, &kept->message_id, &kept->sender,
                             &kept->from_header, &kept->subject,
                             &kept->options, &kept->variables,
                             &kept->summary };
    apr_size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        *texts[i] = apr_pstrdup(p, *texts[i]);
    return kept;
}

static int is_full(const walk_t *walk)
{
    return walk->rows->nelts >= walk->query->limit;
}

/* The walk goes on behind that row. */
static void pass(walk_t *walk, apr_int64_t id)
{
    if (walk->query->is_down)
        walk->high = id;
    else
        walk->low = id + 1;
}

static apr_interval_time_t budget_of(const walk_t *walk)
{
    return walk->query->budget ? walk->query->budget : MG_EVENT_BUDGET;
}

/* Filters may cost a millisecond a row: then a window is too much. */
static int takes_long(const walk_t *walk)
{
    return walk->query->wanted
           && mg_ticks() - walk->began > budget_of(walk) + MG_EVENT_BUDGET;
}

/* What a statement found, as far as the page has room. */
static apr_status_t take_rows(walk_t *walk, mg_stmt_t *stmt, int *pread)
{
    mg_event_row_t row;
    apr_status_t rv = APR_SUCCESS;

    *pread = 0;
    while (!is_full(walk) && (rv = mg_stmt_next(stmt)) == APR_SUCCESS) {
        read_row(&row, stmt, walk->pwindow);
        *pread += 1;
        pass(walk, row.id);
        if (!walk->query->wanted ||
            walk->query->wanted(&row, walk->query->baton))
            APR_ARRAY_PUSH(walk->rows, mg_event_row_t *) = keep(&row, walk->p);
        if (takes_long(walk)) {
            walk->is_late = 1;
            break;
        }
    }
    if (rv == APR_SUCCESS)
        mg_stmt_done(stmt);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

/* The last row of a window that may show less than all of its rows. *pend: it
 * is the last window, and *plast the last row there is; 0: there is none. */
static apr_status_t window_end(walk_t *walk, int window, apr_int64_t *plast,
                               int *pend)
{
    const mg_event_query_t *q = walk->query;
    apr_status_t rv;

    *plast = 0;
    *pend = 0;
    rv = mg_db_get_int(walk->db, plast, window_end_sql[q->is_down], "iiii",
                       q->domain_id, walk->low, walk->high,
                       (apr_int64_t)window - 1);
    if (!APR_STATUS_IS_ENOENT(rv))
        return rv;
    *pend = 1;
    rv = mg_db_get_int(walk->db, plast, window_end_sql[!q->is_down], "iiii",
                       q->domain_id, walk->low, walk->high, (apr_int64_t)0);
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

/* *pend: nothing is behind this window. */
static apr_status_t look(walk_t *walk, int window, int *pend)
{
    const mg_event_query_t *q = walk->query;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int read = 0;

    rv = mg_db_query(&stmt, walk->db, window_sql[q->is_down], "iiii",
                     q->domain_id, walk->low, walk->high,
                     (apr_int64_t)window);
    if (rv == APR_SUCCESS)
        rv = take_rows(walk, stmt, &read);
    *pend = read < window;
    return rv;
}

/* The same, and only what passes is read. */
static apr_status_t sieve(walk_t *walk, int window, int *pend)
{
    const mg_event_query_t *q = walk->query;
    const char *k[MG_EVENT_KINDS];
    apr_int64_t last;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int read, i;

    for (i = 0; i < MG_EVENT_KINDS; i++)
        k[i] = q->kinds[i] ? q->kinds[i] : i ? k[0] : "";
    /* the end first: a row that comes later is behind it */
    rv = window_end(walk, window, &last, pend);
    if (rv == APR_SUCCESS)
        rv = mg_db_query(&stmt, walk->db, sieve_sql[q->is_down],
                         "iiiititttttttt", q->domain_id, walk->low,
                         walk->high, (apr_int64_t)window,
                         q->recipient ? q->recipient : "",
                         (apr_int64_t)q->limit, k[0], k[1], k[2], k[3], k[4],
                         k[5], k[6], k[7]);
    if (rv == APR_SUCCESS)
        rv = take_rows(walk, stmt, &read);
    if (rv != APR_SUCCESS || is_full(walk) || walk->is_late)
        return rv;
    if (read == q->limit)
        *pend = 0; /* there may be more in this window */
    else if (last)
        pass(walk, last);
    return APR_SUCCESS;
}

static apr_status_t look_by_message(walk_t *walk)
{
    const mg_event_query_t *q = walk->query;
    mg_stmt_t *stmt;
    apr_status_t rv;
    int read;

    rv = mg_db_query(&stmt, walk->db, of_message_sql[q->is_down], "iiiit",
                     q->domain_id, walk->low, walk->high,
                     (apr_int64_t)WINDOW_MAX, q->message_id);
    return rv == APR_SUCCESS ? take_rows(walk, stmt, &read) : rv;
}

static int first_window(const mg_event_query_t *q, int is_sieved)
{
    int least = is_sieved ? SIEVE_MIN : q->wanted ? WINDOW_MIN : 1;

    return q->limit > least ? q->limit : least;
}

static apr_status_t walk_on(walk_t *walk, int *pcut)
{
    const mg_event_query_t *q = walk->query;
    int is_sieved = q->kinds[0] || q->recipient, end = 0, looked = 0;
    int window = first_window(q, is_sieved);
    int most = is_sieved ? SIEVE_MAX : WINDOW_MAX;
    apr_interval_time_t budget = budget_of(walk);
    apr_status_t rv = APR_SUCCESS;

    while (rv == APR_SUCCESS && !end && !is_full(walk) && !walk->is_late &&
           walk->low < walk->high) {
        /* each page goes on by a window at least */
        if (looked++ &&
            mg_ticks() - walk->began >
                (walk->rows->nelts ? budget / 10 : budget)) {
            *pcut = 1;
            return APR_SUCCESS;
        }
        rv = is_sieved ? sieve(walk, window, &end) : look(walk, window, &end);
        apr_pool_clear(walk->pwindow);
        window = window * 2 > most ? most : window * 2;
    }
    return rv;
}

apr_status_t mg_event_page(apr_array_header_t **prows, apr_int64_t *pafter,
                           int *pcut, mg_db_t *db,
                           const mg_event_query_t *query, apr_pool_t *p)
{
    walk_t walk = { .query = query, .db = db, .low = query->low,
                    .high = query->high, .began = mg_ticks(), .p = p };
    apr_status_t rv = APR_SUCCESS;

    *prows = walk.rows = apr_array_make(p, query->limit + 1,
                                        sizeof(mg_event_row_t *));
    *pcut = 0;
    apr_pool_create(&walk.pwindow, p);
    if (walk.low < walk.high)
        rv = query->message_id ? look_by_message(&walk)
                               : walk_on(&walk, pcut);
    apr_pool_destroy(walk.pwindow);
    *pcut |= walk.is_late;
    *pafter = query->is_down ? walk.high : walk.low;
    return rv;
}

static apr_status_t read_recipients(apr_array_header_t *list, mg_db_t *db,
                                    apr_int64_t message, apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;

    rv = mg_db_query(&stmt, db,
                     "SELECT recipient FROM event WHERE message_id = $1"
                     " AND kind = 'accepted' LIMIT $2", "ii", message,
                     (apr_int64_t)RECIPIENTS_MAX);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        APR_ARRAY_PUSH(list, const char *) = text(stmt, 0, p);
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

apr_status_t mg_event_recipients(mg_db_t *db, const apr_array_header_t *rows,
                                 apr_pool_t *p)
{
    apr_status_t rv = APR_SUCCESS;
    int i, k;

    for (i = 0; rv == APR_SUCCESS && i < rows->nelts; i++) {
        mg_event_row_t *row = APR_ARRAY_IDX(rows, i, mg_event_row_t *);

        if (row->recipients < 2)
            continue;
        for (k = i - 1; k >= 0 && !row->all_recipients; k--)
            if (APR_ARRAY_IDX(rows, k, mg_event_row_t *)->message ==
                row->message)
                row->all_recipients =
                    APR_ARRAY_IDX(rows, k, mg_event_row_t *)->all_recipients;
        if (row->all_recipients)
            continue;
        row->all_recipients = apr_array_make(p, 8, sizeof(const char *));
        rv = read_recipients(row->all_recipients, db, row->message, p);
    }
    return rv;
}

/* How long the oldest transaction that wrote something has been open. By the
 * server's clock on both ends. */
static const char oldest_pgsql[] =
    "SELECT CAST(COALESCE(EXTRACT(EPOCH FROM clock_timestamp() -"
    " MIN(xact_start)), 0) * 1000000 AS BIGINT) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xid IS NOT NULL"
    " AND pid <> pg_backend_pid()";

apr_status_t mg_event_settled(apr_int64_t *pgap, mg_db_t *db,
                              apr_interval_time_t settle)
{
    apr_time_t now = mg_now();
    apr_int64_t open_for = 0;
    apr_status_t rv = APR_SUCCESS;

    if (mg_db_kind(db) == MG_DB_PGSQL)
        rv = mg_db_get_int(db, &open_for, oldest_pgsql, "");
    *pgap = mg_id_floor(now - settle - (open_for > 0 ? open_for : 0));
    return rv;
}
