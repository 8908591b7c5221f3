/* mg_config_sending.c - directives that say how mail goes out: shares. */
#include "mg_config_sending.h"
#include "mg_text.h"

#include <apr_strings.h>
#include <string.h>

#define SHARE_MAX 1000

/* "a.test", "*": something with a domain's characters */
static int is_domain(const char *text)
{
    return *text && strlen(text) <= 253
           && !text[strcspn(text, " \t\"'@/<>()[]")];
}

MG_CONFIG_SETTER(mg_config_set_share)
{
    mg_share_t share;
    apr_int64_t n;
    char *end;

    if (argc != 2)
        return apr_psprintf(p, "%s takes: %s", d->name, d->args);
    if (!is_domain(argv[0]))
        return apr_psprintf(p, "%s: '%s' is no domain; try example.com",
                            d->name, argv[0]);
    n = apr_strtoi64(argv[1], &end, 10);
    if (*end || end == argv[1] || n < 1 || n > SHARE_MAX)
        return apr_psprintf(p, "%s: '%s' is no number within 1 and %d; try 5",
                            d->name, argv[1], SHARE_MAX);
    share.domain = mg_text_lower(argv[0], p);
    share.share = (int)n;
    APR_ARRAY_PUSH(config->shares, mg_share_t) = share;
    return NULL;
}
