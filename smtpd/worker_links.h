/* worker_links.h - how a domain's tracking links are made (mg_render.h). */
#ifndef WORKER_LINKS_H
#define WORKER_LINKS_H

#include "mg_render.h"
#include "worker.h"

/** Lives in p, but the footers as long as domain. NULL: it has no host that can
 * be written. */
const mg_render_links_t *worker_links(worker_t *worker,
                                      const mg_domain_t *domain,
                                      apr_pool_t *p);
/** The secrets that sign them, read when first asked for. */
const mg_track_keys_t *worker_track_keys(worker_t *worker);
/** Links had to stay as they were: that is said, once in a while. */
void worker_links_missing(worker_t *worker);

#endif
