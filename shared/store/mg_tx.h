/* mg_tx.h - part of a transaction, or one of its own.
 *
 * A function that needs several statements does not know whether its caller
 * has a transaction open (a unit of a group commit) or not (mailgunctl). It
 * joins what is open, else it begins and ends one.
 */
#ifndef MG_TX_H
#define MG_TX_H

#include "mg_db.h"

/** @param pown  1 if a transaction was begun here */
apr_status_t mg_tx_join(mg_db_t *db, mg_tx_mode_t mode, int *pown);
/** Ends what mg_tx_join() began: commits if rv is APR_SUCCESS, else rolls
 * back. @return rv, or what the commit said */
apr_status_t mg_tx_leave(mg_db_t *db, int own, apr_status_t rv);

#endif
