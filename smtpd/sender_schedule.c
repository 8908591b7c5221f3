/* sender_schedule.c - the retry schedule (RFC 5321 4.5.4.1). */
#include "mg_status.h"
#include "sender_schedule.h"

#define RETRY_DEFAULT apr_time_from_sec(600)
#define END_DEFAULT apr_time_from_sec(3 * 24 * 3600)

apr_interval_time_t sender_schedule_delay(const mg_config_t *config,
                                          int attempts, apr_uint64_t seed)
{
    const apr_array_header_t *retry = config->retry;
    apr_interval_time_t delay = RETRY_DEFAULT;
    int i = attempts > 0 ? attempts - 1 : 0;

    if (retry && retry->nelts > 0) {
        if (i >= retry->nelts)
            i = retry->nelts - 1;
        delay = APR_ARRAY_IDX(retry, i, apr_interval_time_t);
    }
    if (delay < 1000)
        delay = 1000;
    /* ids of one batch differ in their low bits: mix before taking some */
    seed = (seed ^ (apr_uint64_t)attempts) * APR_UINT64_C(0x9e3779b97f4a7c15);
    return delay + (apr_interval_time_t)((seed >> 33)
                                         % (apr_uint64_t)(delay / 10 + 1));
}

apr_time_t sender_schedule_end(const mg_config_t *config,
                               const mg_delivery_t *delivery)
{
    if (delivery->expires_at > 0)
        return delivery->expires_at;
    return delivery->created_at
           + (config->retry_limit > 0 ? config->retry_limit : END_DEFAULT);
}

apr_status_t sender_schedule_next(apr_time_t *pdue, const mg_config_t *config,
                                  const mg_delivery_t *delivery,
                                  apr_time_t now)
{
    *pdue = now + sender_schedule_delay(config, delivery->attempts + 1,
                                        (apr_uint64_t)delivery->id);
    return *pdue > sender_schedule_end(config, delivery) ? MG_EEXPIRED
                                                         : APR_SUCCESS;
}
