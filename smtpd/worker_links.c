/* worker_links.c - how a domain's tracking links are made. */
#include "dns.h"
#include "mg_log.h"
#include "mg_time.h"
#include "worker_links.h"

#define SAY_EVERY apr_time_from_sec(600)

const mg_track_keys_t *worker_track_keys(worker_t *worker)
{
    if (!worker->track_keys)
        mg_track_keys_load(&worker->track_keys,
                           worker->config->tracking_secret, worker->pool);
    return worker->track_keys;
}

void worker_links_missing(worker_t *worker)
{
    apr_time_t now = mg_ticks();

    if (worker->links_said && now - worker->links_said < SAY_EVERY)
        return;
    worker->links_said = now;
    mg_log(MG_LOG_ERR, APR_SUCCESS, "%s cannot be read: mail goes out without "
           "tracking links", worker->config->tracking_secret);
}

const mg_render_links_t *worker_links(worker_t *worker,
                                      const mg_domain_t *domain,
                                      apr_pool_t *p)
{
    mg_render_links_t *links = apr_pcalloc(p, sizeof(*links));
    const mg_config_t *config = worker->config;

    links->keys = worker_track_keys(worker);
    links->scheme = config->tracking_scheme;
    links->host = dns_ascii(mg_config_tracking_host(config, domain->name_lc,
                                                    p), p);
    links->footer_html = mg_tracking_footer(domain, 1);
    links->footer_text = mg_tracking_footer(domain, 0);
    return links->host ? links : NULL;
}
