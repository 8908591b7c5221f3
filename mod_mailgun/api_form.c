/* api_form.c - parameters: the query, then the body as it arrives. */
#include "api.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"

APLOG_USE_MODULE(mailgun);

#define IN_MEMORY (128 * 1024)
#define FIELDS_MAX 5000
#define NAME_MAX_BYTES 1024
#define AROUND (1024 * 1024)  /* names, headers, delimiters, small fields */
#define READ_SIZE (64 * 1024)
/* What a body is when nobody says. */
#define URLENCODED "application/x-www-form-urlencoded"

/* A message of the full size fits in: as raw parts of a multipart, or with
 * each byte as %XX in urlencoded text. */
static apr_int64_t body_limit(const api_t *q)
{
    return q->config->message_limit * (q->is_multipart ? 1 : 3) + AROUND;
}

static int too_large(api_t *q)
{
    double mib = (double)body_limit(q) / (1024 * 1024);

    q->r->connection->keepalive = AP_CONN_CLOSE; /* the rest is not read */
    return api_reply_message(q, HTTP_REQUEST_ENTITY_TOO_LARGE,
                             "request size exceeds %.1fMiB limit", mib);
}

static int form_failed(api_t *q, apr_status_t rv)
{
    const char *why = mg_form_error(q->form);

    q->r->connection->keepalive = AP_CONN_CLOSE;
    if (rv == MG_EBADINPUT)
        return api_reply_message(q, HTTP_BAD_REQUEST, "%s", why);
    if (rv == MG_ELIMIT)
        return api_reply_message(q, HTTP_REQUEST_ENTITY_TOO_LARGE,
                                 "unable to parse request: %s", why);
    return api_reply_failed(q, rv, why);
}

static int read_failed(api_t *q, apr_status_t rv)
{
    int status = ap_map_http_request_error(rv, HTTP_BAD_REQUEST);

    q->r->connection->keepalive = AP_CONN_CLOSE;
    if (status == HTTP_REQUEST_ENTITY_TOO_LARGE)
        return too_large(q);
    if (status < 400)
        status = HTTP_BAD_REQUEST;
    return api_reply_message(q, status, "unable to parse request: "
                                        "the body did not arrive whole");
}

/* One brigade's data into the form. *pend: the body is over. */
static apr_status_t feed(api_t *q, apr_bucket_brigade *bb, apr_int64_t *pread,
                         apr_status_t *pform_rv, int *pend)
{
    apr_bucket *b;
    apr_status_t rv;
    const char *data;
    apr_size_t len;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb);
         b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_EOS(b)) {
            *pend = 1;
            return APR_SUCCESS;
        }
        if (APR_BUCKET_IS_METADATA(b))
            continue;
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv != APR_SUCCESS)
            return rv;
        *pread += (apr_int64_t)len;
        *pform_rv = mg_form_feed(q->form, data, len);
        if (*pform_rv != APR_SUCCESS)
            return APR_SUCCESS;
    }
    return APR_SUCCESS;
}

static int read_body(api_t *q)
{
    request_rec *r = q->r;
    apr_bucket_brigade *bb =
        apr_brigade_create(q->p, r->connection->bucket_alloc);
    apr_status_t rv, form_rv = APR_SUCCESS;
    apr_int64_t read = 0;
    int end = 0;

    while (!end) {
        rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES,
                            APR_BLOCK_READ, READ_SIZE);
        if (rv == APR_SUCCESS)
            rv = feed(q, bb, &read, &form_rv, &end);
        if (rv != APR_SUCCESS)
            return read_failed(q, rv);
        if (form_rv != APR_SUCCESS)
            return form_failed(q, form_rv);
        if (read > body_limit(q))
            return too_large(q);
        apr_brigade_cleanup(bb);
    }
    form_rv = mg_form_end(q->form);
    return form_rv == APR_SUCCESS ? API_GO_ON : form_failed(q, form_rv);
}

int api_form_read(api_t *q)
{
    mg_form_limits_t limits = { .memory = IN_MEMORY, .fields = FIELDS_MAX,
                                .name = NAME_MAX_BYTES,
                                .spool_dir = q->config->spool_dir,
                                .total = q->config->message_limit + AROUND };
    const char *length = apr_table_get(q->r->headers_in, "Content-Length");
    const char *type;
    apr_status_t rv;
    int known;

    q->form = mg_form_create(&limits, q->p);
    rv = mg_form_query(q->form, q->r->args);
    if (rv != APR_SUCCESS)
        return form_failed(q, rv);
    q->content_type = apr_table_get(q->r->headers_in, "Content-Type");
    if (!q->content_type)
        q->content_type = "";
    if (!ap_request_has_body(q->r))
        return API_GO_ON;
    type = *q->content_type ? q->content_type : URLENCODED;
    q->is_multipart = strncasecmp(q->content_type, "multipart/form-data",
                                  19) == 0;
    if (length && apr_atoi64(length) > body_limit(q))
        return too_large(q);
    rv = mg_form_begin(q->form, type, &known);
    if (rv != APR_SUCCESS)
        return form_failed(q, rv);
    return read_body(q);
}

const char *api_param(api_t *q, const char *name)
{
    return mg_form_text(q->form, name, q->p);
}

static apr_int64_t number(const char *text, apr_int64_t fallback)
{
    char *end;
    apr_int64_t n;

    if (!text || !*text)
        return fallback;
    n = apr_strtoi64(text, &end, 10);
    return *end ? -1 : n;
}

int api_paging(api_t *q, apr_int64_t *pskip, apr_int64_t *plimit)
{
    *pskip = number(api_param(q, "skip"), 0);
    *plimit = number(api_param(q, "limit"), 100);
    if (*pskip < 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'skip' parameter is not a valid number");
    if (*plimit < 0)
        return api_reply_message(q, HTTP_BAD_REQUEST,
                                 "'limit' parameter is not a valid number");
    if (*plimit > 1000 && q->version == 3)
        return api_reply_message(q, HTTP_BAD_REQUEST, "The 'limit' parameter "
                                                      "can't be larger than "
                                                      "1000");
    if (*plimit > 1000)
        *plimit = 1000;
    return API_GO_ON;
}
