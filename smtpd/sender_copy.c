/* sender_copy.c - see sender_copy.h.
 *
 * What is in memory (small content, what was rendered) is handed out as it
 * lies; the rest is read from the store slice by slice as it goes out.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_text.h"
#include "sender.h"
#include "sender_sign.h"
#include "worker_links.h"

#define TEMPLATES_MAX (32 * 1024 * 1024)  /* kept with their messages */
#define COPIES_MAX (64 * 1024 * 1024)     /* rendered, under way */
#define PARSED_ALONE (512 * 1024)

/* --- stored content --- */

static apr_status_t missing(const sender_copy_t *copy)
{
    mg_log(MG_LOG_ERR, APR_SUCCESS, "message %" APR_INT64_T_FMT
           " has no content", copy->message->id);
    return MG_EIO; /* an empty mail would look like success */
}

/* From offset to the end of its slice, at most max octets. */
static apr_status_t read_stored(const char **pbytes, apr_size_t *plen,
                                sender_copy_t *copy, apr_int64_t offset,
                                apr_int64_t max)
{
    const mg_message_t *m = copy->message->row;
    apr_size_t skip, len;
    const void *bytes;
    apr_status_t rv;

    if (m->bytes) {
        *pbytes = (const char *)m->bytes + offset;
        *plen = (apr_size_t)max;
        return APR_SUCCESS;
    }
    apr_pool_clear(copy->slice_pool);
    rv = mg_message_slice(&bytes, &len, copy->sender->db, copy->message->id,
                          offset / MG_CONTENT_SLICE, copy->slice_pool);
    skip = (apr_size_t)(offset % MG_CONTENT_SLICE);
    if (APR_STATUS_IS_EOF(rv) || (rv == APR_SUCCESS && len <= skip))
        return missing(copy);
    if (rv != APR_SUCCESS) {
        sender_store_works(copy->sender, rv);
        return rv;
    }
    *pbytes = (const char *)bytes + skip;
    *plen = len - skip;
    if ((apr_int64_t)*plen > max)
        *plen = (apr_size_t)max;
    return APR_SUCCESS;
}

/* --- what it is made of --- */

int sender_copy_is_shared(const sender_message_t *message)
{
    return !message->sending.batch && !message->sending.is_template;
}

static void add_piece(sender_copy_t *copy, const char *bytes,
                      apr_int64_t offset, apr_int64_t len)
{
    mg_render_piece_t *piece = apr_array_push(copy->pieces);

    piece->bytes = bytes;
    piece->offset = offset;
    piece->len = len;
}

static void take_stored(sender_copy_t *copy)
{
    const mg_message_t *m = copy->message->row;

    copy->pieces = apr_array_make(copy->pool, 2, sizeof(mg_render_piece_t));
    if (m->size > 0)
        add_piece(copy, NULL, 0, m->size);
    copy->eight_bit = !m->bytes
                      || mg_text_has_eight_bit(m->bytes, m->bytes_len);
}

/* --- templates --- */

static apr_status_t read_range(const char **pbytes, apr_int64_t offset,
                               apr_size_t len, void *baton, apr_pool_t *p)
{
    sender_copy_t *copy = baton;
    char *out = apr_palloc(p, len + 1), *to = out;
    apr_status_t rv;

    while (len > 0) {
        const char *bytes;
        apr_size_t n;

        rv = read_stored(&bytes, &n, copy, offset, (apr_int64_t)len);
        if (rv != APR_SUCCESS)
            return rv;
        memcpy(to, bytes, n);
        to += n;
        offset += (apr_int64_t)n;
        len -= n;
    }
    *pbytes = out;
    return APR_SUCCESS;
}

/* Parsed once and kept with the message, as long as there is room. A large one
 * is enough for one turn of the loop: its first copy is made in the next. */
static apr_status_t template_of(const mg_template_t **pt, sender_copy_t *copy)
{
    sender_message_t *m = copy->message;
    int keep = copy->sender->template_bytes < TEMPLATES_MAX;
    mg_template_t *t;
    apr_status_t rv;

    *pt = m->parsed;
    if (m->parsed)
        return APR_SUCCESS;
    rv = mg_template_parse(&t, m->sending.plan, m->row->size, read_range,
                           copy, keep ? m->pool : copy->pool);
    if (rv != APR_SUCCESS)
        return rv;
    *pt = t;
    if (keep) {
        m->parsed = t;
        copy->sender->template_bytes += mg_template_memory(t);
        if (mg_template_memory(t) > PARSED_ALONE)
            return MG_EBUSY;
    }
    return APR_SUCCESS;
}

static apr_status_t give_room_back(void *baton)
{
    sender_copy_t *copy = baton;

    copy->sender->copy_bytes -= copy->room;
    copy->sender->copies_full = 0;
    return APR_SUCCESS;
}

/* Copies that are under way lie in memory: over COPIES_MAX, nothing new is
 * begun until one of them is gone. */
static apr_status_t take_room(sender_copy_t *copy, apr_size_t bytes)
{
    sender_t *s = copy->sender;

    if (s->copy_bytes > 0 && s->copy_bytes + bytes > COPIES_MAX) {
        s->copies_full = 1;
        return MG_EBUSY;
    }
    copy->room = bytes;
    s->copy_bytes += bytes;
    apr_pool_cleanup_register(copy->pool, copy, give_room_back,
                              apr_pool_cleanup_null);
    return APR_SUCCESS;
}

static apr_status_t render(sender_copy_t *copy)
{
    sender_t *s = copy->sender;
    const mg_template_t *t = NULL;
    mg_render_copy_t out;
    apr_status_t rv;

    rv = template_of(&t, copy);
    if (rv == APR_SUCCESS)
        rv = take_room(copy, mg_template_memory(t));
    if (rv == APR_SUCCESS)
        rv = mg_render_copy(&out, t, &copy->who, copy->pool);
    if (rv != APR_SUCCESS)
        return rv;
    if (out.unsigned_links)
        worker_links_missing(s->worker);
    copy->pieces = out.pieces;
    copy->eight_bit = out.eight_bit;
    return APR_SUCCESS;
}

/* --- the copy --- */

/* Links are of the domain; its footers live as long as nothing else is asked of
 * the cache: render() is done with them before. */
static apr_status_t set_domain(sender_copy_t *copy)
{
    sender_t *s = copy->sender;
    const mg_domain_t *domain;
    apr_status_t rv;

    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                copy->message->row->domain_id);
    if (!sender_store_works(s, rv))
        return rv;
    if (rv == APR_SUCCESS) {
        copy->who.domain = apr_pstrdup(copy->pool, domain->name);
        copy->who.links = worker_links(s->worker, domain, copy->pool);
    }
    return APR_SUCCESS;
}

static void set_top(sender_copy_t *copy, const sender_entry_t *entry)
{
    copy->top = "";
    if (entry->row.transport == MG_TRANSPORT_SMTP)
        copy->top = mg_render_top(&copy->who, copy->pool);
    else if (entry->row.transport == MG_TRANSPORT_LMTP)
        copy->top = apr_psprintf(copy->pool, "X-Mailgun-Delivery-Id: %"
                                 APR_INT64_T_FMT "\r\n%s", entry->row.id,
                                 mg_render_list_fields(&copy->who,
                                                       copy->pool));
}

apr_status_t sender_copy_make(sender_copy_t **pcopy, sender_t *s,
                              sender_entry_t *entry, apr_pool_t *p)
{
    sender_copy_t *copy = apr_pcalloc(p, sizeof(*copy));
    apr_status_t rv = APR_SUCCESS;
    int i;

    copy->sender = s;
    copy->message = entry->message;
    copy->pool = p;
    apr_pool_create(&copy->slice_pool, p);
    copy->who.message = entry->message->row;
    copy->who.delivery = sender_copy_is_shared(entry->message) ? NULL
                                                               : &entry->row;
    copy->who.domain = "";
    copy->who.list = entry->message->sending.list;
    if (entry->message->sending.plan || copy->who.list)
        rv = set_domain(copy);
    if (rv != APR_SUCCESS)
        return rv;
    set_top(copy, entry);
    if (entry->message->sending.plan)
        rv = render(copy);
    else
        take_stored(copy);
    copy->who.links = NULL; /* the footers are the domain's */
    if (rv != APR_SUCCESS)
        return rv;
    /* over the pieces, which do not change any more */
    copy->signature = "";
    if (entry->row.transport == MG_TRANSPORT_SMTP)
        rv = sender_sign_begin(copy);
    if (rv != APR_SUCCESS)
        return rv;

    copy->size = (apr_int64_t)(strlen(copy->top) + strlen(copy->signature))
                 + sender_sign_room(copy);
    for (i = 0; i < copy->pieces->nelts; i++)
        copy->size += APR_ARRAY_IDX(copy->pieces, i, mg_render_piece_t).len;
    sender_copy_rewind(copy, SENDER_COPY_ALL);
    *pcopy = copy;
    return APR_SUCCESS;
}

/* --- reading --- */

void sender_copy_rewind(sender_copy_t *copy, sender_copy_from_t from)
{
    copy->piece = from == SENDER_COPY_ALL ? -2 : 0;
    copy->at = 0;
}

apr_status_t sender_copy_read(const char **pbytes, apr_size_t *plen,
                              sender_copy_t *copy)
{
    apr_status_t rv = APR_SUCCESS;

    if (copy->signing)
        rv = sender_sign_step(copy);
    return rv == APR_SUCCESS ? sender_copy_next(pbytes, plen, copy) : rv;
}

apr_status_t sender_copy_next(const char **pbytes, apr_size_t *plen,
                              sender_copy_t *copy)
{
    const mg_render_piece_t *piece;
    apr_int64_t left;
    apr_status_t rv;

    while (copy->piece < 0) {
        const char *lines = copy->piece++ == -2 ? copy->signature : copy->top;

        *pbytes = lines;
        *plen = strlen(lines);
        if (*plen > 0)
            return APR_SUCCESS;
    }
    if (copy->piece >= copy->pieces->nelts)
        return APR_EOF;
    piece = &APR_ARRAY_IDX(copy->pieces, copy->piece, mg_render_piece_t);
    left = piece->len - copy->at;
    if (piece->bytes) {
        *pbytes = piece->bytes + copy->at;
        *plen = left > MG_CONTENT_SLICE ? MG_CONTENT_SLICE : (apr_size_t)left;
    }
    else {
        rv = read_stored(pbytes, plen, copy, piece->offset + copy->at, left);
        if (rv != APR_SUCCESS)
            return rv;
    }
    copy->at += (apr_int64_t)*plen;
    if (copy->at == piece->len) {
        copy->piece++;
        copy->at = 0;
    }
    return APR_SUCCESS;
}
