/* mg_queue_row.h - a row of QUEUE_COLUMNS as mg_delivery_t. */
#ifndef MG_QUEUE_ROW_H
#define MG_QUEUE_ROW_H

#include "mg_queue.h"

mg_delivery_t *mg_queue_row(mg_stmt_t *stmt, apr_pool_t *p);

#endif
