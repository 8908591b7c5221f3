/* fuzz_path.c - MAIL FROM and RCPT TO paths; the first octet sets the mode. */
#include "fuzz.h"
#include "mg_address.h"

FUZZ(text, len, p)
{
    const char *rest, *again_rest;
    mg_address_t *a, *again;
    int mode;

    if (len == 0)
        return;
    mode = *text++;
    if (mg_address_parse_path(&a, &rest, text, mode & 1, mode & 2, p)
        != APR_SUCCESS)
        return;
    FUZZ_MUST(a->address && a->local);
    FUZZ_MUST(rest > text && rest <= text + strlen(text));
    FUZZ_MUST(strlen(a->local) <= 64 && strlen(a->address) <= 256);
    FUZZ_MUST(!strpbrk(a->address, "\r\n\t"));
    FUZZ_MUST(mg_address_parse_path(&again, &again_rest,
                                    apr_pstrcat(p, "<", a->address, ">", NULL),
                                    mode & 1, mode & 2, p) == APR_SUCCESS);
    FUZZ_MUST(strcmp(again->address, a->address) == 0);
}
