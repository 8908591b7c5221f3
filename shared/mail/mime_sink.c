/* mime_sink.c - where composed bytes go: memory, then a file. */
#include <apr_strings.h>
#include <string.h>
#include "mg_status.h"
#include "mime_internal.h"

void mime_sink_init(mime_sink_t *sink, apr_size_t expected,
                    const char *spool_dir, apr_int64_t limit, apr_pool_t *p)
{
    memset(sink, 0, sizeof(*sink));
    sink->p = p;
    sink->spool_dir = spool_dir;
    sink->limit = limit;
    sink->size = expected < 1024 ? 1024 : expected;
    if (sink->size > MG_MIME_IN_MEMORY && spool_dir)
        sink->size = MG_MIME_IN_MEMORY;
    sink->buf = apr_palloc(p, sink->size);
}

static void flush_to_file(mime_sink_t *sink)
{
    if (sink->rv == APR_SUCCESS && sink->used)
        sink->rv = apr_file_write_full(sink->file, sink->buf, sink->used,
                                       NULL);
    sink->used = 0;
}

/* Twice the room; beyond MG_MIME_IN_MEMORY the buffer goes to the file, if
 * there may be one. */
static void make_room(mime_sink_t *sink)
{
    char *name, *larger;

    if (sink->size < MG_MIME_IN_MEMORY || sink->spool_dir == NULL) {
        apr_size_t size = sink->size * 2;

        if (size > MG_MIME_IN_MEMORY && sink->spool_dir)
            size = MG_MIME_IN_MEMORY;
        larger = apr_palloc(sink->p, size);
        memcpy(larger, sink->buf, sink->used);
        sink->buf = larger;
        sink->size = size;
        return;
    }
    if (sink->file == NULL && sink->rv == APR_SUCCESS) {
        name = apr_pstrcat(sink->p, sink->spool_dir, "/mime.XXXXXX", NULL);
        sink->rv = apr_file_mktemp(&sink->file, name, 0, sink->p);
    }
    flush_to_file(sink);
}

void mime_put(mime_sink_t *sink, const void *bytes, apr_size_t len)
{
    const char *from = bytes;

    sink->total += (apr_int64_t)len;
    if (sink->limit && sink->total > sink->limit && sink->rv == APR_SUCCESS)
        sink->rv = MG_ELIMIT;
    if (sink->rv != APR_SUCCESS)
        return;
    while (len) {
        apr_size_t n = sink->size - sink->used;

        if (n == 0) {
            make_room(sink);
            if (sink->rv != APR_SUCCESS)
                return;
            continue;
        }
        if (n > len)
            n = len;
        memcpy(sink->buf + sink->used, from, n);
        sink->used += n;
        from += n;
        len -= n;
    }
}

void mime_puts(mime_sink_t *sink, const char *s)
{
    mime_put(sink, s, strlen(s));
}

apr_status_t mime_sink_finish(mg_mime_out_t *out, mime_sink_t *sink)
{
    apr_off_t start = 0;

    memset(out, 0, sizeof(*out));
    if (sink->file) {
        flush_to_file(sink);
        if (sink->rv == APR_SUCCESS)
            sink->rv = apr_file_seek(sink->file, APR_SET, &start);
    }
    if (sink->rv != APR_SUCCESS)
        return sink->rv;
    out->file = sink->file;
    out->bytes = sink->file ? NULL : sink->buf;
    out->size = sink->total;
    return APR_SUCCESS;
}
