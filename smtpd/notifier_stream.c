/* notifier_stream.c - a large message that is posted: read from the store slice
 * by slice, as curl takes it, so that it is never in memory whole and no turn of
 * the loop is long.
 */
#include <string.h>
#include "mg_render.h"
#include "mg_sending.h"
#include "mg_status.h"
#include "notifier.h"

struct notifier_stream_t {
    mg_db_t *db;
    apr_int64_t message_id;
    const apr_array_header_t *pieces;  /* of mg_render_piece_t */
    apr_int64_t size, at;
    apr_pool_t *pool;                  /* of the slice */
    apr_int64_t seq;                   /* -1: none is here */
    const char *slice;
    apr_size_t slice_len;
};

static apr_status_t load(notifier_stream_t *s, apr_int64_t seq)
{
    const void *bytes;
    apr_status_t rv;

    if (s->seq == seq)
        return APR_SUCCESS;
    apr_pool_clear(s->pool);
    s->seq = -1;
    rv = mg_message_slice(&bytes, &s->slice_len, s->db, s->message_id, seq,
                          s->pool);
    if (rv != APR_SUCCESS)
        return rv;
    s->slice = bytes;
    s->seq = seq;
    return APR_SUCCESS;
}

/* Up to room octets of the stored content from offset on. */
static apr_status_t stored(notifier_stream_t *s, char *buf, apr_size_t *plen,
                           apr_int64_t offset)
{
    apr_size_t within = (apr_size_t)(offset % MG_CONTENT_SLICE), left;
    apr_status_t rv = load(s, offset / MG_CONTENT_SLICE);

    if (rv != APR_SUCCESS)
        return rv;
    if (within >= s->slice_len)
        return MG_EIO; /* shorter than its row says */
    left = s->slice_len - within;
    if (*plen > left)
        *plen = left;
    memcpy(buf, s->slice + within, *plen);
    return APR_SUCCESS;
}

/* mg_render_read_fn, for templates: of the parts with variables */
static apr_status_t read_part(const char **pbytes, apr_int64_t offset,
                              apr_size_t len, void *baton, apr_pool_t *p)
{
    char *bytes = apr_palloc(p, len + 1);
    apr_size_t done = 0, n;
    apr_status_t rv;

    for (; done < len; done += n) {
        n = len - done;
        rv = stored(baton, bytes + done, &n, offset + (apr_int64_t)done);
        if (rv != APR_SUCCESS)
            return rv;
    }
    *pbytes = bytes;
    return APR_SUCCESS;
}

apr_status_t notifier_stream(notifier_stream_t **pstream, mg_db_t *db,
                             const mg_render_for_t *who, apr_pool_t *p)
{
    const mg_message_t *m = who->message;
    notifier_stream_t *s = apr_pcalloc(p, sizeof(*s));
    mg_render_piece_t whole = { NULL, 0, m->size };
    apr_array_header_t *pieces;
    mg_render_copy_t copy;
    mg_template_t *t;
    mg_sending_t sending;
    apr_status_t rv;

    s->db = db;
    s->message_id = m->id;
    s->seq = -1;
    apr_pool_create(&s->pool, p);
    *pstream = s;
    rv = load(s, 0); /* it is there */
    if (rv != APR_SUCCESS)
        return rv == APR_EOF ? APR_ENOENT : rv;
    mg_sending_read(&sending, m->options, p);
    if (!sending.is_template) {
        pieces = apr_array_make(p, 1, sizeof(whole));
        APR_ARRAY_PUSH(pieces, mg_render_piece_t) = whole;
        s->pieces = pieces;
        s->size = m->size;
        return APR_SUCCESS;
    }
    rv = mg_template_parse(&t, sending.plan, m->size, read_part, s, p);
    if (rv == APR_SUCCESS)
        rv = mg_render_copy(&copy, t, who, p);
    if (rv != APR_SUCCESS)
        return rv;
    s->pieces = copy.pieces;
    s->size = copy.size;
    return APR_SUCCESS;
}

apr_int64_t notifier_stream_size(const notifier_stream_t *stream)
{
    return stream->size;
}

/* The piece that has an octet; *pwithin: which one of it. */
static const mg_render_piece_t *piece_at(const notifier_stream_t *s,
                                         apr_int64_t at, apr_int64_t *pwithin)
{
    int i;

    for (i = 0; i < s->pieces->nelts; i++) {
        const mg_render_piece_t *piece = &APR_ARRAY_IDX(s->pieces, i,
                                                        mg_render_piece_t);

        *pwithin = at;
        if (at < piece->len)
            return piece;
        at -= piece->len;
    }
    return NULL;
}

size_t notifier_stream_read(char *buf, size_t size, size_t n, void *baton)
{
    notifier_stream_t *s = baton;
    const mg_render_piece_t *piece;
    apr_size_t room = size * n;
    apr_int64_t within = 0;

    piece = s->at < s->size ? piece_at(s, s->at, &within) : NULL;
    if (piece == NULL || room == 0)
        return 0;
    if ((apr_int64_t)room > piece->len - within)
        room = (apr_size_t)(piece->len - within);
    if (piece->bytes)
        memcpy(buf, piece->bytes + within, room);
    else if (stored(s, buf, &room, piece->offset + within) != APR_SUCCESS)
        return CURL_READFUNC_ABORT; /* it is tried again later */
    s->at += (apr_int64_t)room;
    return room;
}

int notifier_stream_seek(void *baton, curl_off_t offset, int origin)
{
    notifier_stream_t *s = baton;

    if (origin != SEEK_SET || offset < 0 || offset > s->size)
        return CURL_SEEKFUNC_FAIL;
    s->at = offset;
    return CURL_SEEKFUNC_OK;
}
