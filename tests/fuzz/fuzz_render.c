/* fuzz_render.c - templates found in any content, and their copies.
 *
 * The first line is the recipient's variables, the rest the content. Whatever
 * pieces the content comes in, the same is found; what is found can be
 * rendered; and a copy has no more header fields than the content. Every other
 * content is tracked, too.
 */
#include <unistd.h>

#include "fuzz.h"
#include "mg_mime.h"
#include "mg_render.h"
#include "mg_status.h"

static mg_render_track_t tracks(size_t len)
{
    mg_render_track_t track = {
        { len & 2 ? 1 : 0, len & 4 ? 1 : 0,
          len & 8 ? MG_CLICKS_YES : MG_CLICKS_HTMLONLY, len & 16 ? 1 : 0 },
        NULL
    };

    if (!track.tracking.works)
        memset(&track, 0, sizeof(track));
    return track;
}

static apr_pool_t *ours;

static void forget(void)
{
    apr_pool_destroy(ours);
}

/* A secret of this run. */
static const mg_render_links_t *links_of_ours(void)
{
    static mg_render_links_t links;
    static mg_track_keys_t *keys;
    apr_pool_t *p;
    char *path;

    if (keys)
        return &links;
    apr_pool_create(&ours, NULL);
    atexit(forget);
    p = ours;
    path = apr_psprintf(p, "/tmp/fuzz_render.%d", (int)getpid());
    FUZZ_MUST(mg_track_keys_create(path, p) == APR_SUCCESS
              && mg_track_keys_load(&keys, path, p) == APR_SUCCESS);
    unlink(path);
    links.keys = keys;
    links.scheme = "http";
    links.host = "email.d.test";
    links.footer_html = "\n<i>\xc3\xbc %unsubscribe_url%</i>";
    links.footer_text = "\n--\n\xc3\xbc %unsubscribe_url%";
    return &links;
}

static json_t *scan(const char *bytes, size_t len, size_t piece, int flags,
                    apr_status_t *rv, apr_pool_t *p)
{
    mg_render_track_t track = tracks(len);
    mg_render_scan_t *s = mg_render_scan_begin(flags, &track, p);
    json_t *options = json_object();
    const char *error;
    size_t i;

    for (i = 0; i < len; i += piece) {
        size_t n = len - i < piece ? len - i : piece;
        char *exact = fuzz_exact(bytes + i, n);

        mg_render_scan_feed(s, exact, n);
        free(exact);
    }
    *rv = mg_render_scan_end(s, options, &error);
    FUZZ_MUST((*rv == MG_EBADINPUT) == (error != NULL));
    return options;
}

static int fields_of(const char *bytes, size_t len, apr_pool_t *p)
{
    apr_array_header_t *headers;

    mg_mime_headers(&headers, NULL, bytes, len, p);
    return headers->nelts;
}

static void render(const char *options, const char *variables,
                   const char *bytes, size_t len, int flags, apr_pool_t *p)
{
    mg_message_t message = { .id = 1, .options = options };
    mg_delivery_t delivery = {
        .id = 2, .recipient = "bob@x.test", .variables = variables,
        .recipient_as_given = "\"B, \xc3\xbc <\" <bob@x.test>"
    };
    mg_render_for_t who = { &message, &delivery, "d.test", links_of_ours(), NULL };
    const char *out, *again;
    apr_size_t out_len, again_len;
    apr_status_t rv;

    rv = mg_render_whole(&out, &out_len, &who, bytes, len, p);
    FUZZ_MUST(rv == APR_SUCCESS || rv == MG_ELIMIT);
    if (rv != APR_SUCCESS)
        return;
    FUZZ_MUST(mg_render_whole(&again, &again_len, &who, bytes, len, p)
              == APR_SUCCESS);
    FUZZ_MUST(out_len == again_len && memcmp(out, again, out_len) == 0);
    /* charset and encoding, To, List-Unsubscribe and its Post */
    FUZZ_MUST(fields_of(out, out_len, p)
              <= fields_of(bytes, len, p) + 2 + (flags != 0) + 2);
}

FUZZ(text, len, p)
{
    char *eol = memchr(text, '\n', len), *content = eol ? eol + 1 : text;
    size_t n = (size_t)(text + len - content);
    char *variables = apr_pstrmemdup(p, text, eol ? (size_t)(eol - text) : 0);
    int flags = len & 1 ? MG_RENDER_OWN_TO : 0;
    char *exact = fuzz_exact(content, n);
    mg_render_track_t track = tracks(n);
    apr_status_t rv, rv_pieces, rv_whole;
    const char *error;
    json_t *options, *pieces, *whole = json_object();

    mg_mime_init();
    options = scan(exact, n, n ? n : 1, flags, &rv, p);
    pieces = scan(exact, n, 1 + len % 7, flags, &rv_pieces, p);
    rv_whole = mg_render_check(whole, &error, flags, &track, exact, n, p);
    FUZZ_MUST(rv == rv_pieces && rv == rv_whole);
    FUZZ_MUST(json_equal(options, pieces) && json_equal(options, whole));
    if (json_object_size(options))
        render(mg_json_compact(options, p), variables, exact, n, flags, p);
    json_decref(options);
    json_decref(pieces);
    json_decref(whole);
    free(exact);
}
