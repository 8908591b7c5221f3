/* api_reply.c - answers: JSON, headers, errors in the API's words. */
#include "api.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"

void api_headers(request_rec *r)
{
    apr_table_t *h = r->headers_out;

    apr_table_setn(h, "Access-Control-Allow-Origin", "*");
    apr_table_setn(h, "Access-Control-Max-Age", "600");
    apr_table_setn(h, "Access-Control-Allow-Methods",
                   "GET, POST, PUT, DELETE, OPTIONS");
    apr_table_setn(h, "Access-Control-Allow-Headers",
                   "Content-Type, x-requested-with");
}

int api_reply(api_t *q, int status, const char *type, const char *body)
{
    request_rec *r = q->r;
    apr_size_t len = strlen(body);

    api_graceful_check(r);
    r->status = status;
    ap_set_content_type(r, type);
    ap_set_content_length(r, (apr_off_t)len);
    if (!r->header_only)
        ap_rwrite(body, (int)len, r);
    return API_REPLIED;
}

int api_reply_json(api_t *q, int status, json_t *json)
{
    if (!json) { /* a text that is no UTF-8 */
        mg_log(MG_LOG_ERR, APR_SUCCESS, "domain %s: %s: no reply could be made",
               q->domain.name ? q->domain.name : "-", q->endpoint->pattern);
        return api_reply(q, HTTP_INTERNAL_SERVER_ERROR, "application/json",
                         "{\n  \"message\": \"Internal Server Error\"\n}");
    }
    mg_json_bind(json, q->p);
    apr_table_setn(q->r->headers_out, "Content-Disposition", "inline");
    return api_reply(q, status, "application/json", mg_json_pretty(json, q->p));
}

int api_reply_out(api_t *q, int status, const mg_json_out_t *out)
{
    if (out->pretty)
        apr_table_setn(q->r->headers_out, "Content-Disposition", "inline");
    return api_reply(q, status, "application/json", out->text);
}

int api_reply_items(api_t *q, apr_int64_t total, json_t *items)
{
    return api_reply_json(q, HTTP_OK,
                          json_pack("{s:I, s:o}", "total_count",
                                    (json_int_t)total, "items", items));
}

int api_reply_message(api_t *q, int status, const char *fmt, ...)
{
    const char *text;
    va_list args;

    va_start(args, fmt);
    text = apr_pvsprintf(q->p, fmt, args);
    va_end(args);
    text = mg_text_clean(text, strlen(text), q->p);
    return api_reply_json(q, status, json_pack("{s:s}", "message", text));
}

int api_reply_failed(api_t *q, apr_status_t rv, const char *what)
{
    const char *store = q->child->leader
                            ? mg_leader_error(q->child->leader, q->p) : "";

    mg_log(MG_LOG_ERR, rv, "domain %s: %s%s%s%s",
           q->domain.name ? q->domain.name : "-", what, *store ? " (" : "",
           store, *store ? ")" : "");
    apr_table_setn(q->r->headers_out, "Retry-After", "5");
    if (rv == MG_EFULL || APR_STATUS_IS_ENOSPC(rv))
        return api_reply_message(q, HTTP_INSUFFICIENT_STORAGE,
                                 "Insufficient storage. Try again later.");
    return api_reply_message(q, HTTP_SERVICE_UNAVAILABLE,
                             "Service temporarily unavailable. "
                             "Try again later.");
}

const char *api_url(api_t *q)
{
    request_rec *r = q->r;
    const char *host = apr_table_get(r->headers_in, "Host");

    if (!host || !*host || !r->hostname)
        host = ap_construct_server(q->p, ap_get_server_name(r),
                                   ap_get_server_port(r), r);
    return apr_psprintf(q->p, "%s://%s%s/v%d", ap_http_scheme(r), host,
                        api_dir(r)->prefix, q->version);
}
