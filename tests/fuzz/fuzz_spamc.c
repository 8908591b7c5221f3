/* fuzz_spamc.c - what spamd answers: nothing of it that could end a header field
 * is kept, and it has a limit. */
#include "fuzz.h"
#include "../../smtpd/spamc_read.c"

FUZZ(text, len, p)
{
    char *bytes = fuzz_exact(text, len);
    spamc_answer_t answer;
    const char *c;
    apr_status_t rv;
    int eof;

    for (eof = 0; eof < 2; eof++) {
        rv = spamc_read(&answer, bytes, len, eof, p);
        FUZZ_MUST(rv == APR_SUCCESS || rv == MG_EBADINPUT
                  || (rv == APR_EAGAIN && !eof));
        FUZZ_MUST(rv != MG_EBADINPUT || answer.skipped);
        if (rv == MG_EBADINPUT)
            for (c = answer.skipped; *c; c++)
                FUZZ_MUST(*c >= ' ' && *c <= '~');
        if (rv != APR_SUCCESS)
            continue;
        FUZZ_MUST(!answer.skipped && strlen(answer.rules) <= SPAMC_RULES_MAX);
        for (c = answer.rules; *c; c++)
            FUZZ_MUST(apr_isalnum(*c) || *c == '_' || *c == '-' || *c == ',');
        for (c = answer.score_text; *c; c++)
            FUZZ_MUST(apr_isdigit(*c) || strchr("+-.", *c));
        spamc_has_rule(&answer, "SPF_PASS");
    }
    free(bytes);
}
