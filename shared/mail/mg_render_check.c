/* mg_render_check.c - a message is looked through when it is accepted
 * (mg_render_scan.c), if it may hold anything, and rendered once. */
#include <apr_file_io.h>
#include <string.h>
#include <strings.h>

#include "mg_render_private.h"
#include "mg_status.h"

/* In any case. rare: which octet of the needle to look for first. */
static int holds(const char *bytes, apr_size_t len, const char *needle,
                 apr_size_t rare)
{
    const char *end = bytes + len, *s = bytes + rare;
    apr_size_t n = strlen(needle);

    for (; s < end; s++) {
        s = memchr(s, needle[rare], (apr_size_t)(end - s));
        if (s == NULL)
            return 0;
        if ((apr_size_t)(end - s) >= n - rare
            && strncasecmp(s - rare, needle, n) == 0)
            return 1;
    }
    return 0;
}

/* Most messages have no variable: those without the octet, and without an
 * encoding that may hide it, need no closer look. */
static int cannot_be_template(const char *bytes, apr_size_t len)
{
    return memchr(bytes, '%', len) == NULL && !holds(bytes, len, "=25", 0)
           && !holds(bytes, len, "base64", 4) && !holds(bytes, len, "?b?", 0);
}

/* Tried once, so that what cannot be rendered is not accepted. */
static apr_status_t try_once(const json_t *plan, const char *bytes,
                             apr_size_t len, const char **perror,
                             apr_pool_t *p)
{
    mg_message_t message = { 0 };
    mg_delivery_t delivery = { 0 };
    mg_render_for_t who = { &message, &delivery, "", NULL, NULL };
    const char *out;
    apr_size_t out_len;
    apr_status_t rv;

    if (!plan)
        return APR_SUCCESS;
    delivery.recipient = delivery.recipient_as_given = "";
    rv = mg_render_by_plan(&out, &out_len, plan, &who, bytes, len, p);
    if (rv == APR_SUCCESS)
        return rv;
    *perror = "its variables cannot be filled in";
    return MG_EBADINPUT;
}

apr_status_t mg_render_check(json_t *options, const char **perror, int flags,
                             mg_render_track_t *track, const char *bytes,
                             apr_size_t len, apr_pool_t *p)
{
    mg_render_scan_t *scan;
    apr_pool_t *scratch;
    apr_status_t rv;

    *perror = NULL;
    if (!(flags & MG_RENDER_OWN_TO)
        && !(track && mg_tracking_is_on(&track->tracking))
        && cannot_be_template(bytes, len))
        return APR_SUCCESS;
    apr_pool_create(&scratch, p);
    scan = mg_render_scan_begin(flags, track, scratch);
    mg_render_scan_feed(scan, bytes, len);
    rv = mg_render_scan_end(scan, options, perror);
    if (rv == APR_SUCCESS)
        rv = try_once(json_object_get(options, "template"), bytes, len,
                      perror, scratch);
    apr_pool_destroy(scratch);
    return rv;
}

#define CHECK_STEP (64 * 1024)

apr_status_t mg_render_check_file(json_t *options, const char **perror,
                                  int flags, mg_render_track_t *track,
                                  apr_file_t *file, apr_int64_t size,
                                  apr_pool_t *p)
{
    mg_render_scan_t *scan = mg_render_scan_begin(flags, track, p);
    char *buf = apr_palloc(p, CHECK_STEP);
    apr_off_t start = 0;
    apr_status_t rv = apr_file_seek(file, APR_SET, &start);
    apr_size_t n;

    *perror = NULL;
    for (; rv == APR_SUCCESS && size > 0; size -= (apr_int64_t)n) {
        n = size < CHECK_STEP ? (apr_size_t)size : CHECK_STEP;
        rv = apr_file_read_full(file, buf, n, NULL);
        if (rv == APR_SUCCESS)
            mg_render_scan_feed(scan, buf, n);
    }
    if (rv != APR_SUCCESS)
        return APR_STATUS_IS_EOF(rv) ? MG_EIO : rv;
    return mg_render_scan_end(scan, options, perror);
}
