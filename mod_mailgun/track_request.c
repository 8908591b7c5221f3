/* track_request.c - a request at the tracking host. */
#include "track.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <http_request.h>
#include <string.h>

#include "mg_status.h"

/* 1 x 1, one colour, all transparent. */
static const unsigned char pixel[] = {
    0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0x00, 0x00, 0x00, 0x0d,
    0x49, 0x48, 0x44, 0x52, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x01,
    0x08, 0x04, 0x00, 0x00, 0x00, 0xb5, 0x1c, 0x0c, 0x02, 0x00, 0x00, 0x00,
    0x0b, 0x49, 0x44, 0x41, 0x54, 0x78, 0xda, 0x63, 0x60, 0x60, 0x00, 0x00,
    0x00, 0x03, 0x00, 0x01, 0x2b, 0x09, 0x4d, 0x84, 0x00, 0x00, 0x00, 0x00,
    0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82
};

int track_is_ours(const request_rec *r)
{
    const char *uri = r->uri;

    return api_dir(r)->tracking == 1 && uri && uri[0] == '/' && uri[1]
           && strchr("ocu", uri[1]) && uri[2] == '/';
}

/* Neither the answer nor that there was one may be kept by anybody. */
void track_headers(request_rec *r)
{
    apr_table_t *h = r->err_headers_out;

    apr_table_setn(h, "Cache-Control",
                   "no-cache, no-store, max-age=0, must-revalidate");
    apr_table_setn(h, "Pragma", "no-cache");
    apr_table_setn(h, "X-Robots-Tag", "noindex, nofollow");
}

static int not_allowed(request_rec *r, int may_post)
{
    ap_allow_standard_methods(r, REPLACE_ALLOW, M_GET,
                              may_post ? M_POST : -1, -1);
    return HTTP_METHOD_NOT_ALLOWED;
}

static int answer_open(track_t *t)
{
    request_rec *r = t->r;

    track_hit(t, t->machine, 0);
    ap_set_content_type(r, "image/png");
    ap_set_content_length(r, sizeof(pixel));
    if (!r->header_only)
        ap_rwrite(pixel, sizeof(pixel), r);
    return OK;
}

/* What a browser would make of it: octets that no URL has are escaped (URL
 * standard, 4.4). mg_track_read() lets no control character through. */
static const char *location(const char *url, apr_pool_t *p)
{
    static const char digits[] = "0123456789ABCDEF";
    const unsigned char *c = (const unsigned char *)url;
    char *out = apr_palloc(p, strlen(url) * 3 + 1), *o = out;

    for (; *c; c++) {
        if (*c > 0x20 && *c < 0x7f && !strchr("\"<>\\^`{|}", *c)) {
            *o++ = (char)*c;
            continue;
        }
        *o++ = '%';
        *o++ = digits[*c >> 4];
        *o++ = digits[*c & 15];
    }
    *o = '\0';
    return out;
}

static int answer_click(track_t *t)
{
    request_rec *r = t->r;

    track_hit(t, t->machine, 0);
    apr_table_setn(r->headers_out, "Location", location(t->track.text, t->p));
    r->status = HTTP_MOVED_TEMPORARILY;
    ap_set_content_length(r, 0);
    return OK;
}

static int answer(track_t *t)
{
    request_rec *r = t->r;

    if (t->track.kind >= MG_TRACK_UNSUBSCRIBE)
        return r->method_number == M_GET || r->method_number == M_POST
                   ? track_unsubscribe(t)
                   : not_allowed(r, 1);
    if (r->method_number != M_GET)
        return not_allowed(r, 0);
    return t->track.kind == MG_TRACK_OPEN ? answer_open(t) : answer_click(t);
}

int track_handle(request_rec *r)
{
    track_t *t = apr_pcalloc(r->pool, sizeof(*t));
    int fits = 0;

    t->r = r;
    t->p = r->pool;
    t->child = api_child();
    t->token = r->uri + 3;
    track_headers(r);
    api_graceful_check(r);
    if (!t->child)
        return HTTP_SERVICE_UNAVAILABLE;
    if (mg_track_read(&t->track, t->child->track_keys, t->token, t->p)
            != APR_SUCCESS
        || mg_track_letter(t->track.kind) != r->uri[1])
        return HTTP_NOT_FOUND;
    track_client(t);
    track_find_domain(&fits, t);
    return fits ? answer(t) : HTTP_NOT_FOUND;
}
