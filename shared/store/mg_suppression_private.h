/* mg_suppression_private.h - between the files of suppressions. */
#ifndef MG_SUPPRESSION_PRIVATE_H
#define MG_SUPPRESSION_PRIVATE_H

#include "mg_event.h"
#include "mg_suppression.h"

/* What differs between the tables. Columns of a listing: address, created_at,
 * code, error, class, count, tag, public id. */
typedef struct {
    const char *name;
    const char *remove, *clear_some;
    const char *list, *get, *between, *pages_up, *pages_down;
    int code;                    /* of the drop (reference, section 12) */
    const char *why;
} mg_suppression_table_t;

extern const mg_suppression_table_t mg_suppression_tables[MG_SUPPRESSIONS];

/** The form in which addresses are compared. */
const char *mg_suppression_key(const char *address, apr_pool_t *p);

/* mg_suppression_event.c */
/** An event's row, if it has one. Called by mg_event_append(). */
apr_status_t mg_suppression_of_event(mg_db_t *db, const mg_event_t *event,
                                     apr_pool_t *p);

/* mg_suppression_total.c */
/** In a transaction: n rows came (or went, below 0). */
apr_status_t mg_suppression_total_add(mg_db_t *db, apr_int64_t domain_id,
                                      mg_suppression_kind_t kind,
                                      apr_int64_t n);
apr_status_t mg_suppression_total_forget(mg_db_t *db, apr_int64_t domain_id);

#endif
