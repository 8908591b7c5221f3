/* mg_config_private.h - between the table of directives and what sets their
 * values. */
#ifndef MG_CONFIG_PRIVATE_H
#define MG_CONFIG_PRIVATE_H

#include "mg_config.h"

/* see mg_directive_t.set */
#define MG_CONFIG_SETTER(name)                                               \
    const char *name(mg_config_t *config, const mg_directive_t *d, int argc, \
                     const char *const *argv, apr_pool_t *p)

/** True from the second time on that a directive is given. */
int mg_config_given_before(mg_config_t *config, const mg_directive_t *d);

/** "host:port", "[::1]:port", "host", "::1"; *pport stays where none is given.
 * @return 0: it is neither */
int mg_config_split_port(const char **phost, int *pport, const char *text,
                         apr_pool_t *p);
int mg_config_is_ip(const char *text);

/* mg_config_value.c. Those of numbers have a range as their extra, those of
 * words the words, with a NULL behind them. */
typedef struct {
    int min, max;
    const char *example;
} mg_config_range_t;

MG_CONFIG_SETTER(mg_config_set_text);
MG_CONFIG_SETTER(mg_config_set_path);
MG_CONFIG_SETTER(mg_config_set_store);
MG_CONFIG_SETTER(mg_config_set_hostname);
MG_CONFIG_SETTER(mg_config_set_url);
MG_CONFIG_SETTER(mg_config_set_size);
MG_CONFIG_SETTER(mg_config_set_time);
MG_CONFIG_SETTER(mg_config_set_number);
MG_CONFIG_SETTER(mg_config_set_count);
MG_CONFIG_SETTER(mg_config_set_word);
MG_CONFIG_SETTER(mg_config_set_word_text);
MG_CONFIG_SETTER(mg_config_set_rate);
MG_CONFIG_SETTER(mg_config_set_listen);
MG_CONFIG_SETTER(mg_config_set_transport);
MG_CONFIG_SETTER(mg_config_set_lmtp);
MG_CONFIG_SETTER(mg_config_set_resolvers);
MG_CONFIG_SETTER(mg_config_set_retry);
MG_CONFIG_SETTER(mg_config_set_networks);
MG_CONFIG_SETTER(mg_config_set_words);
MG_CONFIG_SETTER(mg_config_set_mx);
MG_CONFIG_SETTER(mg_config_set_spf);

/* mg_config_sending.c */
MG_CONFIG_SETTER(mg_config_set_destination);
MG_CONFIG_SETTER(mg_config_set_share);
MG_CONFIG_SETTER(mg_config_set_sending_ip);
MG_CONFIG_SETTER(mg_config_set_sending_pool);
MG_CONFIG_SETTER(mg_config_set_warmup);
/** @return NULL, or which pool names an address that is not there */
const char *mg_config_check_pools(const mg_config_t *config, apr_pool_t *p);

/* mg_config_tracking.c */
MG_CONFIG_SETTER(mg_config_set_tracking_host);
MG_CONFIG_SETTER(mg_config_set_feedback);
MG_CONFIG_SETTER(mg_config_set_time_or_off);

/* mg_config_spam.c */
MG_CONFIG_SETTER(mg_config_set_spamd);
MG_CONFIG_SETTER(mg_config_set_score);
MG_CONFIG_SETTER(mg_config_set_folder);

#endif
