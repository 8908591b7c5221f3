/* ctl_tracking.c - mailgunctl tracking: the secrets that sign links. */
#include "ctl.h"
#include "mg_status.h"
#include "mg_track.h"

#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>

int ctl_tracking_rotate(ctl_t *ctl)
{
    const char *forget = ctl_option(ctl, "forget");
    apr_int64_t n = 0;
    apr_status_t rv;
    char *end;
    int id, code;

    if ((code = ctl_config(ctl)) != 0)
        return code;
    if (forget) {
        n = apr_strtoi64(forget, &end, 10);
        if (*end || end == forget || n < 0 || n > MG_TRACK_SECRETS_MAX)
            return ctl_error(ctl, "--forget: '%s' is no number within 0 and "
                             "%d", forget, MG_TRACK_SECRETS_MAX);
    }
    rv = mg_track_keys_rotate(&id, ctl->config->tracking_secret, (int)n,
                              ctl->pool);
    if (rv == MG_ELIMIT)
        return ctl_error(ctl, "%s has had %d secrets, more are not possible",
                         ctl->config->tracking_secret, MG_TRACK_SECRETS_MAX);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "tracking secrets %s",
                          ctl->config->tracking_secret);
    printf("links are signed with secret %d from now on\n", id);
    return 0;
}
