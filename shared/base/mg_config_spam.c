/* mg_config_spam.c - directives of the spam filter. */
#include "mg_config_private.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_text.h"

/* Receivers ask from their loop, which looks up no names. */
MG_CONFIG_SETTER(mg_config_set_spamd)
{
    const char *host;
    int port = 0;

    if (argc != 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (strncmp(argv[0], "unix:/", 6) != 0
        && (!mg_config_split_port(&host, &port, argv[0], p) || port == 0
            || !mg_config_is_ip(host)))
        return apr_psprintf(p, "%s: '%s' is no address and port; try "
                            "127.0.0.1:783 or unix:/run/spamd.sock", d->name,
                            argv[0]);
    config->spamd = apr_pstrdup(p, argv[0]);
    return NULL;
}

/* "5", "5.0", "-0.25": kept in thousandths, so that 5.0 is 5.0 */
MG_CONFIG_SETTER(mg_config_set_score)
{
    int *value = (int *)(void *)((char *)config + d->offset);

    if (argc != 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (mg_text_thousandths(value, argv[0]) != APR_SUCCESS)
        return apr_psprintf(p, "%s: '%s' is no score; try 5.0", d->name,
                            argv[0]);
    return NULL;
}

/* As IMAP shows it, in UTF-8; "/" parts levels. */
MG_CONFIG_SETTER(mg_config_set_folder)
{
    const char *c;

    if (argc != 1)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    for (c = argv[0]; *c && !apr_iscntrl(*c) && !strchr("*%", *c); c++)
        ;
    if (*c || !argv[0][0] || argv[0][0] == '/' || strlen(argv[0]) > 200
        || !mg_text_is_utf8(argv[0], strlen(argv[0])))
        return apr_psprintf(p, "%s: '%s' is no folder; try Junk", d->name,
                            argv[0]);
    config->spam_folder = apr_pstrdup(p, argv[0]);
    return NULL;
}
