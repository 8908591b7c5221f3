/* fuzz_mta_reply.c - lines of a remote server's replies: the text that is kept
 * has a limit, no controls, and begins with the code. */
#include "fuzz.h"
#include "../../smtpd/mta_reply.c"

FUZZ(text, len, p)
{
    char *at = text, *end = text + len, *lf, *line;
    mta_reply_t reply;
    const char *words;
    apr_status_t rv;
    size_t i, n;

    (void)p;
    mta_reply_clear(&reply);
    while (at < end) {
        lf = memchr(at, '\n', (size_t)(end - at));
        n = (size_t)((lf ? lf : end) - at);
        line = fuzz_exact(at, n);
        words = NULL;
        rv = mta_reply_add(&reply, line, n, &words);
        FUZZ_MUST(!words || (words >= line && words <= line + n + 1));
        FUZZ_MUST(reply.len <= MTA_REPLY_TEXT
                  && strlen(reply.text) <= reply.len
                  && reply.lines <= MTA_REPLY_LINES);
        for (i = 0; i < reply.len; i++)
            FUZZ_MUST((unsigned char)reply.text[i] >= 0x20
                      && reply.text[i] != 0x7f);
        FUZZ_MUST(strlen(reply.enhanced) < sizeof(reply.enhanced));
        free(line);
        if (rv == APR_SUCCESS) {
            FUZZ_MUST(mta_reply_class(&reply) >= MTA_GOOD
                      && mta_reply_class(&reply) <= MTA_PERMANENT);
            mta_reply_clear(&reply);
        }
        else if (rv != APR_INCOMPLETE)
            return;
        at = lf ? lf + 1 : end;
    }
}
