/* mg_render_whole.c - copies of content that is in memory. */
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"
#include "mg_sending.h"
#include "mg_status.h"

typedef struct {
    const char *bytes;
    apr_size_t len;
} memory_t;

static apr_status_t read_memory(const char **pbytes, apr_int64_t offset,
                                apr_size_t len, void *baton, apr_pool_t *p)
{
    const memory_t *m = baton;

    (void)p;
    if (offset + (apr_int64_t)len > (apr_int64_t)m->len)
        return MG_EBADINPUT;
    *pbytes = m->bytes + offset;
    return APR_SUCCESS;
}

apr_status_t mg_render_by_plan(const char **pbytes, apr_size_t *plen,
                               const json_t *plan, const mg_render_for_t *who,
                               const char *bytes, apr_size_t len,
                               apr_pool_t *p)
{
    memory_t memory = { bytes, len };
    mg_render_copy_t copy;
    mg_template_t *t;
    apr_status_t rv;
    char *out;
    int i;

    rv = mg_template_parse(&t, plan, (apr_int64_t)len, read_memory, &memory,
                           p);
    if (rv == APR_SUCCESS)
        rv = mg_render_copy(&copy, t, who, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pbytes = out = apr_palloc(p, (apr_size_t)copy.size + 1);
    *plen = (apr_size_t)copy.size;
    for (i = 0; i < copy.pieces->nelts; i++) {
        const mg_render_piece_t *piece = &APR_ARRAY_IDX(copy.pieces, i,
                                                        mg_render_piece_t);

        memcpy(out, piece->bytes ? piece->bytes : bytes + piece->offset,
               (apr_size_t)piece->len);
        out += piece->len;
    }
    *out = '\0';
    return APR_SUCCESS;
}

apr_status_t mg_render_whole(const char **pbytes, apr_size_t *plen,
                             const mg_render_for_t *who, const char *bytes,
                             apr_size_t len, apr_pool_t *p)
{
    mg_sending_t sending;

    mg_sending_read(&sending, who->message->options, p);
    if (sending.plan)
        return mg_render_by_plan(pbytes, plen, sending.plan, who, bytes, len,
                                 p);
    *pbytes = bytes;
    *plen = len;
    return APR_SUCCESS;
}

void mg_render_head(const char **pbytes, apr_size_t *plen,
                    const mg_render_for_t *who, const char *bytes,
                    apr_size_t len, apr_pool_t *p)
{
    const json_t *root;
    mg_sending_t sending;
    apr_int64_t head_len;
    json_t *plan;

    *pbytes = bytes;
    *plen = len;
    mg_sending_read(&sending, who->message->options, p);
    root = json_array_get(sending.plan, 0);
    head_len = json_integer_value(json_array_get(root, 1));
    if (head_len <= 0 || head_len > (apr_int64_t)len)
        return;
    plan = json_pack("[[iIiO?]]", 0, (json_int_t)head_len, 0,
                     json_array_get(root, 3));
    mg_json_bind(plan, p);
    mg_render_by_plan(pbytes, plen, plan, who, bytes, (apr_size_t)head_len, p);
}
