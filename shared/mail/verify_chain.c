/* verify_chain.c - the ARC chain of a message (RFC 8617 5.2).
 *
 * Its sets are numbered from 1. The last one's message signature must be good;
 * older ones were, when the next set was sealed. Every seal is over the sets up
 * to its own.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_verify_private.h"

static void fails(mg_verify_t *v, const char *why)
{
    v->arc = MG_VERIFY_FAIL;
    v->arc_why = why;
}

/* --- reading --- */

static const char *body_of(const dkim_field_t *field, apr_size_t *plen)
{
    const char *colon = memchr(field->at, ':', field->len);

    *plen = (apr_size_t)(field->at + field->len - colon - 1);
    return colon + 1;
}

/* i=, which stands first in ARC-Authentication-Results. 0: it has none. */
static int instance_of(const dkim_field_t *field, apr_pool_t *p)
{
    apr_size_t len;
    const char *text = body_of(field, &len), *semicolon;
    apr_int64_t n;
    verify_tags_t tags;

    if (dkim_field_is(field, "ARC-Authentication-Results")) {
        semicolon = memchr(text, ';', len);
        if (!semicolon)
            return 0;
        len = (apr_size_t)(semicolon - text);
    }
    if (!verify_tags_read(&tags, text, len, p))
        return 0;
    n = verify_tag_number(&tags, "i");
    return n >= 1 && n <= MG_ARC_SETS ? (int)n : 0;
}

/* @return 0: the chain is broken */
static int put_field(mg_verify_t *v, const dkim_field_t *field)
{
    int n = instance_of(field, v->p);
    const dkim_field_t **place;
    verify_set_t *set;

    if (n == 0)
        return 0;
    set = &v->sets[n - 1];
    place = dkim_field_is(field, "ARC-Seal") ? &set->seal
            : dkim_field_is(field, "ARC-Message-Signature") ? &set->signature
                                                            : &set->results;
    if (*place)
        return 0;
    *place = field;
    if (n > v->nsets)
        v->nsets = n;
    return 1;
}

static int is_arc(const dkim_field_t *field)
{
    return dkim_field_is(field, "ARC-Seal")
           || dkim_field_is(field, "ARC-Message-Signature")
           || dkim_field_is(field, "ARC-Authentication-Results");
}

/* What a seal says of itself. @return 0: nothing that can be verified */
static int read_seal(verify_set_t *set, mg_verify_t *v, int i)
{
    apr_size_t len;
    const char *text = body_of(set->seal, &len), *cv, *a, *d, *s;

    if (!verify_tags_read(&set->seal_tags, text, len, v->p)
        || verify_tag(&set->seal_tags, "h"))
        return 0;
    cv = verify_tag_packed(&set->seal_tags, "cv", v->p);
    a = verify_tag_packed(&set->seal_tags, "a", v->p);
    d = verify_tag_packed(&set->seal_tags, "d", v->p);
    s = verify_tag_packed(&set->seal_tags, "s", v->p);
    if (!cv || !a || !d || !s || !*d || !*s
        || strcmp(cv, i == 1 ? "none" : "pass") != 0)
        return 0;
    set->is_ed25519 = strcmp(a, "ed25519-sha256") == 0;
    if (!set->is_ed25519 && strcmp(a, "rsa-sha256") != 0)
        return 0;
    set->key = verify_key_index(v, s, d);
    return 1;
}

void verify_chain_read(mg_verify_t *v)
{
    verify_set_t *set;
    int i, broken = 0;

    v->sets = apr_pcalloc(v->p, sizeof(*v->sets) * MG_ARC_SETS);
    for (i = 0; i < v->fields->nelts; i++) {
        const dkim_field_t *field = &APR_ARRAY_IDX(v->fields, i,
                                                   dkim_field_t);

        if (is_arc(field)) {
            v->arc = MG_VERIFY_NEUTRAL;
            broken |= !put_field(v, field);
        }
    }
    for (i = 1; !broken && i <= v->nsets; i++) {
        set = &v->sets[i - 1];
        broken = !set->results || !set->signature || !set->seal
                 || !read_seal(set, v, i);
    }
    if (broken) {
        fails(v, "the chain is malformed, or was broken before");
        return;
    }
    if (v->nsets == 0)
        return;
    set = &v->sets[v->nsets - 1];
    verify_signature_read(&set->ams, v, set->signature, 1);
    if (set->ams.said.result != MG_VERIFY_NEUTRAL)
        fails(v, set->ams.said.why);
}

/* --- verifying --- */

static void add_field(EVP_MD_CTX *md, const dkim_field_t *field, int is_last,
                      apr_pool_t *p)
{
    apr_size_t len = field->len;
    const char *text = field->at;
    char *canon;

    if (is_last)
        text = verify_without_b(&len, field->at, field->len, p);
    canon = apr_palloc(p, len + 1);
    len = dkim_header_relax(canon, text, len);
    EVP_DigestUpdate(md, canon, len);
    if (!is_last)
        EVP_DigestUpdate(md, "\r\n", 2);
}

/* Seal i: over results, signature and seal of each set up to it. */
static int seal_is_good(mg_verify_t *v, int i, EVP_PKEY *key)
{
    const verify_set_t *set = &v->sets[i - 1];
    unsigned char digest[DKIM_HASH_LEN];
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    const char *b = verify_tag_packed(&set->seal_tags, "b", v->p);
    int k, ok;

    ok = md && b && EVP_DigestInit_ex2(md, dkim_sha256(), NULL) == 1;
    for (k = 1; ok && k <= i; k++) {
        add_field(md, v->sets[k - 1].results, 0, v->p);
        add_field(md, v->sets[k - 1].signature, 0, v->p);
        add_field(md, v->sets[k - 1].seal, k == i, v->p);
    }
    ok = ok && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok && verify_digest(key, set->is_ed25519, digest, b, v->p);
}

/* @return 0: the verdict is there */
static int check_seal(mg_verify_t *v, int i)
{
    const verify_set_t *set = &v->sets[i - 1];
    const verify_key_t *key = &APR_ARRAY_IDX(v->keys, set->key, verify_key_t);
    EVP_PKEY *pkey;
    int strict;

    if (key->state == VERIFY_KEY_FAILED) {
        v->arc = MG_VERIFY_TEMPERROR;
        v->arc_why = "DNS did not say";
        return 0;
    }
    if (key->state == VERIFY_KEY_NONE
        || verify_key_open(&pkey, &strict, key->text, set->is_ed25519, v->p)
        || !seal_is_good(v, i, pkey)) {
        fails(v, apr_psprintf(v->p, "seal %d is wrong", i));
        return 0;
    }
    return 1;
}

void verify_chain_end(mg_verify_t *v)
{
    verify_signature_t *ams;
    int i;

    if (v->arc != MG_VERIFY_NEUTRAL || v->nsets == 0)
        return;
    ams = &v->sets[v->nsets - 1].ams;
    verify_signature_end(ams, v);
    if (ams->said.result != MG_VERIFY_PASS) {
        v->arc = ams->said.result == MG_VERIFY_TEMPERROR ? MG_VERIFY_TEMPERROR
                                                         : MG_VERIFY_FAIL;
        v->arc_why = ams->said.why;
        return;
    }
    for (i = v->nsets; i >= 1; i--)
        if (!check_seal(v, i))
            return;
    v->arc = MG_VERIFY_PASS;
}
