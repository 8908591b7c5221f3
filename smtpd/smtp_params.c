/* smtp_params.c - see smtp_params.h. */
#include <string.h>
#include <strings.h>

#include "smtp_params.h"

int smtp_param_is(const char *word, apr_size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(word, name, len) == 0;
}

int smtp_param_next(smtp_param_t *param, const char **prest)
{
    const char *word = *prest + strspn(*prest, " "), *eq;
    apr_size_t len = strcspn(word, " ");

    *prest = word + len;
    if (len == 0)
        return 0;
    eq = memchr(word, '=', len);
    param->name = word;
    param->name_len = eq ? (apr_size_t)(eq - word) : len;
    param->has_value = eq != NULL;
    param->value = eq ? eq + 1 : word + len;
    param->value_len = (apr_size_t)(word + len - param->value);
    return 1;
}

int smtp_is_ascii(const char *text)
{
    while (*text && (unsigned char)*text < 128)
        text++;
    return *text == '\0';
}
