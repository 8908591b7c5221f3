/* mg_verify.c - see mg_verify.h. */
#include <apr_strings.h>
#include <string.h>

#include "mg_text.h"
#include "mg_verify_private.h"

const char *mg_verify_word(mg_verify_result_t result)
{
    static const char *const words[] = { "none", "pass", "fail", "neutral",
                                         "temperror", "permerror" };

    return words[result];
}

static void read_signatures(mg_verify_t *v)
{
    int i;

    for (i = 0; i < v->fields->nelts
                && v->signatures->nelts < MG_VERIFY_SIGNATURES; i++) {
        const dkim_field_t *field = &APR_ARRAY_IDX(v->fields, i,
                                                   dkim_field_t);

        if (dkim_field_is(field, "DKIM-Signature"))
            verify_signature_read(apr_array_push(v->signatures), v, field, 0);
    }
}

mg_verify_t *mg_verify_begin(const char *head, apr_size_t len, apr_time_t now,
                             apr_pool_t *p)
{
    mg_verify_t *v = apr_pcalloc(p, sizeof(*v));

    v->p = p;
    v->head = head;
    v->head_len = len;
    v->now = now;
    v->names = apr_array_make(p, 4, sizeof(const char *));
    v->keys = apr_array_make(p, 4, sizeof(verify_key_t));
    v->bodies = apr_array_make(p, 2, sizeof(verify_body_t));
    v->signatures = apr_array_make(p, MG_VERIFY_SIGNATURES,
                                   sizeof(verify_signature_t));
    v->said = apr_array_make(p, MG_VERIFY_SIGNATURES,
                             sizeof(mg_verify_signature_t));
    v->fields = len > MG_DKIM_HEADER_MAX
                    ? apr_array_make(p, 1, sizeof(dkim_field_t))
                    : dkim_list_fields(head, len, p);
    if (v->fields->nelts > MG_DKIM_FIELDS_MAX)
        v->fields->nelts = 0;
    read_signatures(v);
    verify_chain_read(v);
    return v;
}

int mg_verify_is_needed(const mg_verify_t *verify)
{
    return verify->names->nelts > 0;
}

const apr_array_header_t *mg_verify_keys(const mg_verify_t *verify)
{
    return verify->names;
}

static verify_key_t *key_at(mg_verify_t *verify, int i)
{
    return &APR_ARRAY_IDX(verify->keys, i, verify_key_t);
}

void mg_verify_key_found(mg_verify_t *verify, int i, const char *text)
{
    key_at(verify, i)->state = VERIFY_KEY_FOUND;
    key_at(verify, i)->text = apr_pstrdup(verify->p, text);
}

void mg_verify_key_is_none(mg_verify_t *verify, int i)
{
    key_at(verify, i)->state = VERIFY_KEY_NONE;
}

void mg_verify_key_failed(mg_verify_t *verify, int i)
{
    key_at(verify, i)->state = VERIFY_KEY_FAILED;
}

void mg_verify_feed(mg_verify_t *verify, const char *bytes, apr_size_t len)
{
    int i;

    for (i = 0; i < verify->bodies->nelts; i++) {
        verify_body_t *body = &APR_ARRAY_IDX(verify->bodies, i,
                                             verify_body_t);

        if (body->failed == APR_SUCCESS)
            dkim_body_feed(&body->body, bytes, len);
    }
}

void mg_verify_end(mg_verify_t *verify)
{
    int i;

    for (i = 0; i < verify->bodies->nelts; i++) {
        verify_body_t *body = &APR_ARRAY_IDX(verify->bodies, i,
                                             verify_body_t);

        if (body->failed == APR_SUCCESS)
            body->failed = dkim_body_end(body->hash, &body->body);
    }
    for (i = 0; i < verify->signatures->nelts; i++) {
        verify_signature_t *s = &APR_ARRAY_IDX(verify->signatures, i,
                                               verify_signature_t);

        verify_signature_end(s, verify);
        APR_ARRAY_PUSH(verify->said, mg_verify_signature_t) = s->said;
    }
    verify_chain_end(verify);
}

/* --- what came of it --- */

const apr_array_header_t *mg_verify_signatures(const mg_verify_t *verify)
{
    return verify->said;
}

mg_verify_result_t mg_verify_dkim(const mg_verify_t *verify)
{
    mg_verify_result_t best = MG_VERIFY_NONE;
    int i;

    for (i = 0; i < verify->said->nelts; i++) {
        mg_verify_result_t one = APR_ARRAY_IDX(verify->said, i,
                                               mg_verify_signature_t).result;

        if (i == 0 || one == MG_VERIFY_PASS)
            best = one;
    }
    return best;
}

mg_verify_result_t mg_verify_arc(const mg_verify_t *verify, int *psets)
{
    *psets = verify->nsets;
    return verify->arc;
}

/* What a sender wrote, in a field of ours: no more than names are made of. */
static const char *safe(const char *text, apr_pool_t *p)
{
    char *out = apr_pstrndup(p, text, 255), *c;

    for (c = out; *c; c++)
        if (*c <= ' ' || *c > '~' || strchr("()<>@,;:\\\"[]?", *c))
            *c = '?';
    return out;
}

static const char *quoted(const char *text, apr_pool_t *p)
{
    return apr_pstrcat(p, "\"", text, "\"", NULL);
}

const char *mg_verify_results(const mg_verify_t *verify, const char *host,
                              apr_pool_t *p)
{
    const char *out = host;
    int i;

    if (verify->said->nelts == 0)
        out = apr_pstrcat(p, out, ";\r\n\tdkim=none", NULL);
    for (i = 0; i < verify->said->nelts; i++) {
        const mg_verify_signature_t *s = &APR_ARRAY_IDX(
            verify->said, i, mg_verify_signature_t);

        out = apr_pstrcat(p, out, ";\r\n\tdkim=", mg_verify_word(s->result),
                          NULL);
        if (s->why)
            out = apr_pstrcat(p, out, " (", s->why, ")", NULL);
        if (*s->domain)
            out = apr_pstrcat(p, out, "\r\n\t header.d=", safe(s->domain, p),
                              " header.s=", safe(s->selector, p),
                              "\r\n\t header.a=", safe(s->algorithm, p),
                              " header.b=", quoted(safe(s->b, p), p), NULL);
    }
    out = apr_pstrcat(p, out, ";\r\n\tarc=", mg_verify_word(verify->arc),
                      NULL);
    if (verify->arc_why)
        out = apr_pstrcat(p, out, " (", verify->arc_why, ")", NULL);
    else if (verify->nsets > 0)
        out = apr_psprintf(p, "%s (i=%d)", out, verify->nsets);
    return out;
}
