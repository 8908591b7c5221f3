/* receiver_rates.h - how much mail an hour: of a login, of a domain, of a client
 * that does not log in.
 *
 * What was not used for a while may be used at once, up to an hour's worth; a
 * rate that is used up comes back evenly, a message after 1/n of an hour.
 * Counted by each receiver for itself, in memory: a restart forgets, and two
 * receivers allow twice as much. Memory is bounded.
 */
#ifndef RECEIVER_RATES_H
#define RECEIVER_RATES_H

#include "mg_config.h"

typedef struct smtp_rates_t smtp_rates_t;
typedef enum { RATE_LOGIN, RATE_DOMAIN, RATE_CLIENT } smtp_rate_kind_t;

smtp_rates_t *smtp_rates_create(apr_pool_t *p);
/** Is there room for one more message, for one more recipient? */
int smtp_rates_message_fits(smtp_rates_t *rates, smtp_rate_kind_t kind,
                            const char *who, const mg_rate_t *limit);
int smtp_rates_recipient_fits(smtp_rates_t *rates, smtp_rate_kind_t kind,
                              const char *who, const mg_rate_t *limit);
/** Take them. */
void smtp_rates_count(smtp_rates_t *rates, smtp_rate_kind_t kind,
                      const char *who, const mg_rate_t *limit, int messages,
                      int recipients);
#endif
