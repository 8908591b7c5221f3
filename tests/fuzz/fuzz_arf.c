/* fuzz_arf.c - reports of spam that come back. */
#include "fuzz.h"
#include "mg_arf.h"
#include "mg_text.h"

FUZZ(text, len, p)
{
    char *exact = fuzz_exact(text, len);
    mg_arf_t arf;
    int i;

    mg_arf_read(&arf, exact, len, p);
    FUZZ_MUST(arf.claims->nelts <= MG_ARF_CLAIMS);
    FUZZ_MUST(arf.recipients->nelts <= MG_ARF_RECIPIENTS);
    FUZZ_MUST(!arf.is_bare || arf.kind == MG_ARF_COMPLAINT);
    FUZZ_MUST(strlen(arf.type) <= 40 * 3);
    FUZZ_MUST(mg_text_is_utf8(arf.reporter, strlen(arf.reporter)));
    for (i = 0; i < arf.claims->nelts; i++)
        FUZZ_MUST(strlen(APR_ARRAY_IDX(arf.claims, i, mg_verp_claim_t).mac)
                  == MG_VERP_MAC);
    for (i = 0; i < arf.recipients->nelts; i++) {
        const char *one = APR_ARRAY_IDX(arf.recipients, i, const char *);

        FUZZ_MUST(strchr(one, '@') && strlen(one) < 1000);
        FUZZ_MUST(mg_text_is_utf8(one, strlen(one)));
    }
    free(exact);
}
