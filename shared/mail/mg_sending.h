/* mg_sending.h - how a stored message is to be sent: its options read back.
 *
 * mg_options.h writes message.options when the message is accepted; the sender
 * reads here what it acts on. A message without an option follows its domain.
 *
 *   dkim               boolean             o:dkim, X-Mailgun-Dkim
 *   testmode           boolean             o:testmode, X-Mailgun-Drop-Message
 *   require-tls        boolean             never in the clear
 *   skip-verification  boolean             any certificate will do
 *   deliver-within     seconds             gives up after that
 *   batch              boolean             each recipient has a copy of its own
 *                                          with only its own address in To
 *   list               object              it is a mailing list's
 *                                          (mg_list_copy.h)
 *   template           array               the content holds %variables%:
 *                                          where (mg_render.h)
 *   dsn                {"ret": "FULL" or "HDRS", "envid": xtext}   RFC 3461
 */
#ifndef MG_SENDING_H
#define MG_SENDING_H

#include <apr_pools.h>
#include <apr_time.h>
#include <jansson.h>

#include "mg_list_copy.h"

typedef struct {
    int dkim, require_tls, skip_verification;  /* 1, 0; -1: not said */
    int testmode, batch, is_template;          /* 1, 0 */
    const mg_list_copy_t *list;                /* or NULL */
    const json_t *plan;                        /* template's; NULL if none */
    apr_interval_time_t deliver_within;        /* 0: not said */
    const char *dsn_ret, *dsn_envid;           /* or NULL */
} mg_sending_t;

/** @param options  message.options: JSON, NULL or "" for none. What is no
 *                  option of that kind counts as not said. */
void mg_sending_read(mg_sending_t *sending, const char *options,
                     apr_pool_t *p);

#endif
