/* keeper_list.h - mailing lists: what is posted becomes copies.
 *
 * A LIST row of the queue is a message somebody posted. The keeper makes of it
 * a message of the list's own (keeper_list_post.c), with an EXPANSION row, and
 * that is one transaction. Then it adds the members' deliveries, a step at a
 * time in the order of their addresses (keeper_list_expand.c): the row's
 * payload says how far it is and is written with each step, so that whoever
 * dies between two steps leaves nobody out and nobody twice. Who becomes a
 * member later than the message was posted gets the next one.
 */
#ifndef KEEPER_LIST_H
#define KEEPER_LIST_H

#include "mg_list.h"
#include "mg_queue.h"
#include "mg_routing.h"
#include "worker.h"

typedef struct {
    worker_t *worker;
    mg_claimer_t *claimer;
    mg_routing_t *routing;      /* who gets a member's copy */
    unsigned char verp_key[32];
} keeper_list_t;

apr_status_t keeper_list_create(keeper_list_t **plists, worker_t *worker);
/** A step of each list that is under way, a few at most.
 * @param pmore  set to 1 where there is more to do */
apr_status_t keeper_list_step(keeper_list_t *lists, int *pmore,
                              apr_pool_t *ptemp);

/* between the files of this */

/** @return MG_ELEASE: it is another's by now */
apr_status_t keeper_list_post(keeper_list_t *lists, const mg_delivery_t *row,
                              apr_pool_t *ptemp);
apr_status_t keeper_list_expand(keeper_list_t *lists, const mg_delivery_t *row,
                                apr_pool_t *ptemp);
/** Where an expansion begins: its row's payload. */
const char *keeper_list_begin(apr_int64_t list_id, apr_time_t posted_at,
                              apr_pool_t *p);
#endif
