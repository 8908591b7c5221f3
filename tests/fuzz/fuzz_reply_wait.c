/* fuzz_reply_wait.c - how long a reply's words ask us to wait: never less than
 * nothing, never more than the limit. */
#include "fuzz.h"
#include "../../smtpd/mta_reply.c"

FUZZ(text, len, p)
{
    apr_interval_time_t wait = mta_reply_wait(text);

    (void)len;
    (void)p;
    FUZZ_MUST(wait >= 0 && wait <= MTA_REPLY_WAIT_MAX);
    FUZZ_MUST(wait % APR_USEC_PER_SEC == 0);
}
