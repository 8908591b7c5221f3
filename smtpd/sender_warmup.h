/* sender_warmup.h - new domains and addresses begin gently (MailgunWarmup). */
#ifndef SENDER_WARMUP_H
#define SENDER_WARMUP_H

#include "sender.h"

/** When this domain may send again; 0: now. Asks nobody. */
apr_time_t sender_warmup_closed(const sender_t *s, apr_int64_t domain_id);
/** The same of an address, or NULL. */
apr_time_t sender_warmup_ip_closed(const sender_t *s,
                                   const mg_sending_ip_t *ip);
/** @param ip  that it goes out from, or NULL
 * @return how many of n recipients of this domain's may be sent to now; they
 *         are counted. Less where a volume ends, or if the store fails */
int sender_warmup_take(sender_t *s, apr_int64_t domain_id,
                       const mg_sending_ip_t *ip, int n);
/** Stopping: what was taken in advance and not sent goes back. */
void sender_warmup_stop(sender_t *s);

#endif
