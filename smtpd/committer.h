/* committer.h - commits off the loop: one thread with a connection of its own.
 *
 * A commit takes as long as the disk, and the line before it as long as the
 * other writers. The loop hands over a list of units (mg_group.h), goes on
 * with its dialogues, and is told in a turn of its own. One batch is under way
 * at a time; what gathers meanwhile is the next one.
 *
 * That is all that is shared. From committer_start() until done() a batch is
 * the thread's: its units, their batons, and whatever run() and is_there()
 * touch. The loop neither reads nor frees any of it. run() takes memory from
 * its ptemp only, reads domains only by the batch's cache (mg_batch.h), and
 * uses nothing else of the process but what is made for threads: mg_id, mg_log,
 * mg_shared, mg_bell, mg_fault.
 */
#ifndef COMMITTER_H
#define COMMITTER_H

#include "mg_group.h"
#include "worker.h"

typedef struct committer_t committer_t;

/**
 * The batch is the loop's again; each unit's status is set.
 *
 * @param rv     what mg_group_commit() said of all
 * @param words  what the store said, if it failed
 * @param took   microseconds, the line included
 */
typedef void committer_done_fn(apr_status_t rv, const char *words,
                               apr_interval_time_t took, void *baton);

/** Its pool's cleanup waits for the batch under way and ends the thread. The
 * store may be down: then units fail until it works again. */
apr_status_t committer_create(committer_t **pcommitter, worker_t *worker,
                              committer_done_fn *done, void *baton,
                              apr_pool_t *p);
/** Not while it is busy. */
void committer_start(committer_t *committer, mg_unit_t *units);
int committer_is_busy(const committer_t *committer);

#endif
