/* fuzz_expression.c - filters and actions of routes. The first line is the
 * expression, the second the recipient, the third the action. */
#include "fuzz.h"
#include "mg_action.h"
#include "mg_status.h"

FUZZ(text, len, p)
{
    char *recipient = strchr(text, '\n'), *action = NULL;
    apr_array_header_t *actions = apr_array_make(p, 2, sizeof(mg_action_t));
    const char *error = NULL;
    mg_rule_subject_t subject = { .recipient = "bob@x.com", .whose = "" };
    mg_captures_t captures = { NULL, NULL };
    mg_expression_t *e;
    int i;

    (void)len;
    if (recipient) {
        *recipient++ = '\0';
        action = strchr(recipient, '\n');
        if (action)
            *action++ = '\0';
        subject.recipient = recipient;
    }
    if (mg_expression_compile(&e, text, NULL, &error, p) == APR_SUCCESS)
        mg_expression_match(e, &subject, &captures, NULL, p);
    else
        FUZZ_MUST(error && *error);
    error = NULL;
    if (mg_action_parse(actions, action ? action : text, &error, p)
        != APR_SUCCESS)
        FUZZ_MUST(error && *error);
    for (i = 0; i < actions->nelts; i++) {
        const char *target = mg_action_target(
            &APR_ARRAY_IDX(actions, i, mg_action_t), &captures, p);

        FUZZ_MUST(!target || !strpbrk(target, "\r\n"));
    }
}
