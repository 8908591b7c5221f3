/* mg_status.c - the words for our status codes. */
#include "mg_status.h"

#include <apr_strings.h>

static const struct {
    apr_status_t rv;
    const char *words;
} words[] = {
    { MG_EBUSY, "the store is locked" },
    { MG_ECONFLICT, "a constraint of the store was violated" },
    { MG_EFULL, "the disk is full" },
    { MG_EIO, "the disk failed" },
    { MG_ELOST, "the connection to the store was lost" },
    { MG_ESCHEMA, "the store's schema does not fit this program" },
    { MG_ESQL, "the store did not understand a statement" },
    { MG_EADDRESS, "not a mail address" },
    { MG_ELEASE, "the claim was lost to another worker" },
    { MG_EEXPIRED, "past the last day to try" },
    { MG_ELIMIT, "over a limit" },
    { MG_EQUOTA, "over quota" },
    { MG_EDENIED, "not allowed" },
    { MG_EBADINPUT, "malformed input" },
    { MG_ECRYPT, "a sealed secret does not open" },
    { MG_ECONFIG, "the configuration is wrong" },
    { MG_ETLS, "TLS failed" },
};

const char *mg_strerror(apr_status_t rv, char *buf, apr_size_t len)
{
    apr_size_t i;

    for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (words[i].rv == rv) {
            apr_cpystrn(buf, words[i].words, len);
            return buf;
        }
    }
    return apr_strerror(rv, buf, len);
}

int mg_is_temporary(apr_status_t rv)
{
    return rv == MG_EBUSY || rv == MG_EFULL || rv == MG_EIO || rv == MG_ELOST
           || APR_STATUS_IS_EAGAIN(rv) || APR_STATUS_IS_EINTR(rv)
           || APR_STATUS_IS_TIMEUP(rv) || APR_STATUS_IS_ETIMEDOUT(rv)
           || APR_STATUS_IS_ENOSPC(rv) || APR_STATUS_IS_ENOMEM(rv)
           || APR_STATUS_IS_ECONNREFUSED(rv) || APR_STATUS_IS_ECONNRESET(rv);
}
