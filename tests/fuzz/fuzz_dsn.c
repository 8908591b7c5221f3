/* fuzz_dsn.c - delivery reports that come to our VERP senders. */
#include "fuzz.h"
#include "mg_dsn.h"
#include "mg_text.h"

FUZZ(text, len, p)
{
    char *exact = fuzz_exact(text, len);
    mg_dsn_t dsn;
    int i;

    mg_dsn_read(&dsn, exact, len, p);
    FUZZ_MUST(dsn.reports && dsn.reports->nelts <= MG_DSN_RECIPIENTS);
    FUZZ_MUST((dsn.kind == MG_DSN_REPORT || dsn.kind == MG_DSN_GUESS)
              == (dsn.reports->nelts > 0));
    for (i = 0; i < dsn.reports->nelts; i++) {
        mg_dsn_report_t *r = &APR_ARRAY_IDX(dsn.reports, i, mg_dsn_report_t);

        FUZZ_MUST(r->text && !strpbrk(r->text, "\r\n"));
        FUZZ_MUST(strlen(r->text) < 4000);
        FUZZ_MUST(mg_text_is_utf8(r->text, strlen(r->text)));
        FUZZ_MUST(!r->recipient || strlen(r->recipient) < 1000);
        FUZZ_MUST(!r->original || strlen(r->original) < 1000);
        FUZZ_MUST(r->code == 0 || (r->code >= 400 && r->code < 600));
    }
    free(exact);
}
