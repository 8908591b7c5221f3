/* mg_config_sending.h - setters of directives that say how mail goes out
 * (mg_config.c has the table). */
#ifndef MG_CONFIG_SENDING_H
#define MG_CONFIG_SENDING_H

#include "mg_config.h"

#define MG_CONFIG_SETTER(name)                                               \
    const char *name(mg_config_t *config, const mg_directive_t *d, int argc, \
                     const char *const *argv, apr_pool_t *p)

MG_CONFIG_SETTER(mg_config_set_destination);
MG_CONFIG_SETTER(mg_config_set_share);
MG_CONFIG_SETTER(mg_config_set_sending_ip);
MG_CONFIG_SETTER(mg_config_set_sending_pool);
/** @return NULL, or which pool names an address that is not there */
const char *mg_config_check_pools(const mg_config_t *config, apr_pool_t *p);
MG_CONFIG_SETTER(mg_config_set_warmup);

#endif
