/* fuzz_expression.c - filters and actions of routes. The first line is the
 * expression, the second the recipient, the third the action. */
#include "fuzz.h"
#include "mg_expression.h"

FUZZ(text, len, p)
{
    char *recipient = strchr(text, '\n'), *action = NULL;
    apr_array_header_t *actions = apr_array_make(p, 2, sizeof(mg_action_t));
    const char *error = NULL;
    mg_expression_t *e;

    (void)len;
    if (recipient) {
        *recipient++ = '\0';
        action = strchr(recipient, '\n');
        if (action)
            *action++ = '\0';
    }
    if (mg_expression_compile(&e, text, &error, p) == APR_SUCCESS) {
        mg_expression_matches(e, recipient ? recipient : "bob@x.com", 0, p);
        mg_expression_matches(e, recipient ? recipient : "", 1, p);
    }
    else {
        FUZZ_MUST(error && *error);
    }
    error = NULL;
    if (mg_action_parse(actions, action ? action : text, &error, p)
        != APR_SUCCESS)
        FUZZ_MUST(error && *error);
}
