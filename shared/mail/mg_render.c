/* mg_render.c - what a copy has above the stored content. */
#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_render.h"
#include "mg_status.h"

/* base64 of ["<5 hex>","<recipient>","<hex domain id>"] (reference, 3). Where
 * recipients share a copy, the message's id stands for them. */
static char *render_sid(const mg_render_for_t *who, apr_pool_t *p)
{
    const mg_message_t *message = who->message;
    json_t *sid;
    char *text, *encoded;

    sid = json_pack("[sss]",
                    apr_psprintf(p, "%05x",
                                 (unsigned int)(message->id & 0xfffff)),
                    who->delivery
                        ? who->delivery->recipient
                        : apr_psprintf(p, "%" APR_UINT64_T_HEX_FMT,
                                       (apr_uint64_t)message->id),
                    apr_psprintf(p, "%" APR_UINT64_T_HEX_FMT,
                                 (apr_uint64_t)message->domain_id));
    if (sid == NULL)
        return NULL; /* the recipient is no UTF-8: it never got in */
    text = mg_json_compact(sid, p);
    json_decref(sid);
    encoded = apr_palloc(p, (apr_size_t)apr_base64_encode_len(
                                (int)strlen(text)));
    apr_base64_encode(encoded, text, (int)strlen(text));
    return encoded;
}

char *mg_render_top(const mg_render_for_t *who, apr_pool_t *p)
{
    char *sid = render_sid(who, p);

    if (sid == NULL)
        return "";
    return apr_pstrcat(p, "X-Mailgun-Sid: ", sid, "\r\n", NULL);
}

const char *mg_render_variables(const mg_render_for_t *who, apr_pool_t *p)
{
    (void)p;
    return who->message->variables;
}

/* --- so far nothing is a template --- */

struct mg_render_scan_t {
    int flags;
};

mg_render_scan_t *mg_render_scan_begin(int flags, apr_pool_t *p)
{
    mg_render_scan_t *scan = apr_pcalloc(p, sizeof(*scan));

    scan->flags = flags;
    return scan;
}

void mg_render_scan_feed(mg_render_scan_t *scan, const char *bytes,
                         apr_size_t len)
{
    (void)scan;
    (void)bytes;
    (void)len;
}

apr_status_t mg_render_scan_end(mg_render_scan_t *scan, json_t *options,
                                const char **perror)
{
    (void)scan;
    (void)options;
    (void)perror;
    return APR_SUCCESS;
}

apr_status_t mg_render_check(json_t *options, const char **perror, int flags,
                             const char *bytes, apr_size_t len, apr_pool_t *p)
{
    mg_render_scan_t *scan = mg_render_scan_begin(flags, p);

    mg_render_scan_feed(scan, bytes, len);
    return mg_render_scan_end(scan, options, perror);
}

#define CHECK_STEP (64 * 1024)

apr_status_t mg_render_check_file(json_t *options, const char **perror,
                                  int flags, apr_file_t *file,
                                  apr_int64_t size, apr_pool_t *p)
{
    mg_render_scan_t *scan = mg_render_scan_begin(flags, p);
    char *buf = apr_palloc(p, CHECK_STEP);
    apr_off_t start = 0;
    apr_status_t rv = apr_file_seek(file, APR_SET, &start);
    apr_size_t n;

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

apr_status_t mg_render_whole(const char **pbytes, apr_size_t *plen,
                             const mg_render_for_t *who, const char *bytes,
                             apr_size_t len, apr_pool_t *p)
{
    (void)who;
    (void)p;
    *pbytes = bytes;
    *plen = len;
    return APR_SUCCESS;
}
