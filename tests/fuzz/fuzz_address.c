/* fuzz_address.c - address lists: what is taken is one line, has both sides,
 * and reads the same again. */
#include "fuzz.h"
#include "mg_address.h"
#include "mg_text.h"

FUZZ(text, len, p)
{
    apr_array_header_t *list;
    int i;

    (void)len;
    if (mg_address_parse_list(&list, text, p) != APR_SUCCESS)
        return;
    FUZZ_MUST(list->nelts > 0);
    for (i = 0; i < list->nelts; i++) {
        mg_address_t *a = APR_ARRAY_IDX(list, i, mg_address_t *), *again;

        FUZZ_MUST(a->address && a->local && a->domain && a->as_given);
        FUZZ_MUST(strlen(a->address) <= 254);
        FUZZ_MUST(!strpbrk(a->address, "\r\n"));
        FUZZ_MUST(!a->name || !strpbrk(a->name, "\r\n"));
        FUZZ_MUST(!a->name || mg_text_is_utf8(a->name, strlen(a->name)));
        if (mg_address_parse(&again, a->address, p) == APR_SUCCESS)
            FUZZ_MUST(strcmp(again->address, a->address) == 0);
    }
}
