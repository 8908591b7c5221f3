/* verify_signature.c - one signature of a message's header and body: a
 * DKIM-Signature, or an ARC-Message-Signature (RFC 6376 6.1). */
#include <apr_strings.h>
#include <openssl/rsa.h>
#include <string.h>
#include <strings.h>

#include "mg_address.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_verify_private.h"

#define NAMES_MAX 200          /* of h= */
#define B_SHOWN 8              /* RFC 6008 */

static void wrong(verify_signature_t *s, const char *why)
{
    s->said.result = MG_VERIFY_PERMERROR;
    s->said.why = why;
}

/* --- reading --- */

int verify_key_index(mg_verify_t *v, const char *selector, const char *domain)
{
    const char *name = mg_text_lower(apr_pstrcat(v->p, selector,
                                                 "._domainkey.", domain,
                                                 NULL), v->p);
    verify_key_t *key;
    int i;

    for (i = 0; i < v->keys->nelts; i++)
        if (strcmp(APR_ARRAY_IDX(v->keys, i, verify_key_t).name, name) == 0)
            return i;
    key = apr_array_push(v->keys);
    key->name = name;
    key->state = VERIFY_KEY_FAILED;
    key->text = NULL;
    APR_ARRAY_PUSH(v->names, const char *) = name;
    return i;
}

static int body_index(mg_verify_t *v, int simple, apr_int64_t limit)
{
    verify_body_t *body;
    int i;

    for (i = 0; i < v->bodies->nelts; i++) {
        body = &APR_ARRAY_IDX(v->bodies, i, verify_body_t);
        if (body->simple == simple && body->limit == limit)
            return i;
    }
    body = apr_array_push(v->bodies);
    body->simple = simple;
    body->limit = limit;
    body->failed = dkim_body_init(&body->body, v->p);
    body->body.simple = simple;
    body->body.limit = limit;
    return i;
}

/* "simple", "relaxed/simple". @return 0: no such form */
static int read_form(int *psimple_head, int *psimple_body, const char *c)
{
    const char *slash = strchr(c, '/');
    apr_size_t n = slash ? (apr_size_t)(slash - c) : strlen(c);

    *psimple_head = n == 6 && !strncmp(c, "simple", 6);
    if (!*psimple_head && (n != 7 || strncmp(c, "relaxed", 7)))
        return 0;
    *psimple_body = !slash || !strcmp(slash + 1, "simple");
    return *psimple_body || !strcmp(slash + 1, "relaxed");
}

static int names_from(const char *h)
{
    int n = 1, from = 0;
    const char *at = h, *end;

    for (; *at; at = *end ? end + 1 : end) {
        end = strchr(at, ':');
        if (!end)
            end = at + strlen(at);
        from |= end - at == 4 && !strncasecmp(at, "from", 4);
        n++;
    }
    return from && n <= NAMES_MAX;
}

/* d= or a domain below it. */
static int is_within(const char *identity, const char *domain)
{
    apr_size_t n = strlen(identity), m = strlen(domain);

    return n >= m && strcasecmp(identity + n - m, domain) == 0
           && (n == m || identity[n - m - 1] == '.');
}

static const char *read_who(verify_signature_t *s, int is_ams, apr_pool_t *p)
{
    const char *d = verify_tag_packed(&s->tags, "d", p);
    const char *selector = verify_tag_packed(&s->tags, "s", p);
    const char *identity = is_ams ? NULL : verify_tag_packed(&s->tags, "i", p);
    const char *at;

    if (!d || !*d || !selector || !*selector)
        return "d= or s= lacks";
    s->said.domain = d;
    s->said.selector = selector;
    if (!mg_address_is_domain(d)
        || !mg_address_is_domain(apr_pstrcat(p, selector, ".", d, NULL)))
        return "d= or s= is no name";
    s->identity = d;
    if (!identity)
        return NULL;
    at = strrchr(identity, '@');
    if (!at || !is_within(at + 1, d))
        return "i= is not within d=";
    s->identity = at + 1;
    return NULL;
}

static const char *read_times(verify_signature_t *s, const mg_verify_t *v)
{
    apr_int64_t at = verify_tag_number(&s->tags, "t");
    apr_int64_t until = verify_tag_number(&s->tags, "x");

    if (at == -2 || until == -2)
        return "t= or x= is no time";
    if (until >= 0 && (until < apr_time_sec(v->now)
                       || (at >= 0 && until < at)))
        return "it has expired";
    return NULL;
}

static const char *read_tags(verify_signature_t *s, mg_verify_t *v, int is_ams)
{
    const char *a = verify_tag_packed(&s->tags, "a", v->p), *why;
    const char *c = verify_tag_packed(&s->tags, "c", v->p);
    const char *version = verify_tag(&s->tags, "v");
    const char *b = verify_tag_packed(&s->tags, "b", v->p);
    apr_int64_t limit = verify_tag_number(&s->tags, "l");
    int simple_body;

    s->said.algorithm = a ? a : "";
    s->said.b = b ? apr_pstrndup(v->p, b, B_SHOWN) : "";
    if ((why = read_who(s, is_ams, v->p)) != NULL)
        return why;
    if (!is_ams && (!version || strcmp(version, "1") != 0))
        return "its version is not 1";
    s->is_ed25519 = a && strcmp(a, "ed25519-sha256") == 0;
    if (!s->is_ed25519 && (!a || strcmp(a, "rsa-sha256") != 0))
        return "its algorithm counts for nothing";
    if (!read_form(&s->simple_head, &simple_body, c ? c : "simple/simple"))
        return "c= is no form we know";
    s->h = verify_tag_packed(&s->tags, "h", v->p);
    s->bh = verify_tag_packed(&s->tags, "bh", v->p);
    if (!s->h || !s->bh || !b || !*b)
        return "h=, bh= or b= lacks";
    if (!names_from(s->h))
        return "h= has no From, or too many names";
    if (limit == -2)
        return "l= is no number";
    if ((why = read_times(s, v)) != NULL)
        return why;
    s->body = body_index(v, simple_body, limit);
    s->key = verify_key_index(v, s->said.selector, s->said.domain);
    return NULL;
}

void verify_signature_read(verify_signature_t *s, mg_verify_t *v,
                           const dkim_field_t *field, int is_ams)
{
    const char *text = field->at + field->name_len, *why;

    memset(s, 0, sizeof(*s));
    s->field = field;
    s->key = s->body = -1;
    s->said.result = MG_VERIFY_NEUTRAL;
    s->said.domain = s->said.selector = s->said.algorithm = s->said.b = "";
    while (*text != ':')
        text++;
    text++;
    if (!verify_tags_read(&s->tags, text,
                          (apr_size_t)(field->at + field->len - text), v->p)) {
        wrong(s, "it is malformed");
        return;
    }
    why = read_tags(s, v, is_ams);
    if (why)
        wrong(s, why);
}

/* --- verifying --- */

int verify_digest(EVP_PKEY *key, int is_ed25519,
                  const unsigned char digest[DKIM_HASH_LEN], const char *b,
                  apr_pool_t *p)
{
    apr_size_t len = strlen(b);
    unsigned char *raw = apr_palloc(p, len + 1);
    EVP_PKEY_CTX *rsa = NULL;
    EVP_MD_CTX *md = NULL;
    int n, ok;

    if (len == 0 || len % 4 || len > 2048)
        return 0;
    n = EVP_DecodeBlock(raw, (const unsigned char *)b, (int)len);
    if (n <= 0)
        return 0;
    n -= b[len - 1] == '=';
    n -= b[len - 2] == '=';
    if (is_ed25519) {
        md = EVP_MD_CTX_new();
        ok = md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1
             && EVP_DigestVerify(md, raw, (size_t)n, digest, DKIM_HASH_LEN)
                    == 1;
        EVP_MD_CTX_free(md);
        return ok;
    }
    rsa = EVP_PKEY_CTX_new(key, NULL);
    ok = rsa && EVP_PKEY_verify_init(rsa) == 1
         && EVP_PKEY_CTX_set_rsa_padding(rsa, RSA_PKCS1_PADDING) == 1
         && EVP_PKEY_CTX_set_signature_md(rsa, dkim_sha256()) == 1
         && EVP_PKEY_verify(rsa, raw, (size_t)n, digest, DKIM_HASH_LEN) == 1;
    EVP_PKEY_CTX_free(rsa);
    return ok;
}

/* @return 0: another body was signed */
static int body_is_same(const verify_signature_t *s, const mg_verify_t *v)
{
    const verify_body_t *body = &APR_ARRAY_IDX(v->bodies, s->body,
                                               verify_body_t);
    unsigned char text[64];

    if (body->failed != APR_SUCCESS
        || (body->limit >= 0 && body->body.total < body->limit))
        return 0;
    EVP_EncodeBlock(text, body->hash, DKIM_HASH_LEN);
    return strcmp((const char *)text, s->bh) == 0;
}

/* RFC 6376 3.7: the fields of h=, then the signature's own without b=. */
static apr_status_t head_digest(unsigned char digest[DKIM_HASH_LEN],
                                const verify_signature_t *s,
                                const mg_verify_t *v)
{
    dkim_header_t header;
    apr_size_t len;
    char *own = verify_without_b(&len, s->field->at, s->field->len, v->p);
    EVP_MD_CTX *md;
    int ok;

    if (dkim_header_choose(&header, s->h, s->simple_head, v->head,
                           v->head_len, v->p) != APR_SUCCESS)
        return MG_EBADINPUT;
    if (!s->simple_head)
        return dkim_digest(digest, &header, own, len, v->p);
    md = EVP_MD_CTX_new();
    ok = md && EVP_DigestInit_ex2(md, dkim_sha256(), NULL) == 1
         && EVP_DigestUpdate(md, header.canon, header.canon_len) == 1
         && EVP_DigestUpdate(md, own, len) == 1
         && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? APR_SUCCESS : MG_ECRYPT;
}

void verify_signature_end(verify_signature_t *s, mg_verify_t *v)
{
    unsigned char digest[DKIM_HASH_LEN];
    const verify_key_t *key;
    EVP_PKEY *pkey;
    const char *why;
    int strict;

    if (s->said.result != MG_VERIFY_NEUTRAL)
        return;
    key = &APR_ARRAY_IDX(v->keys, s->key, verify_key_t);
    if (key->state == VERIFY_KEY_FAILED) {
        s->said.result = MG_VERIFY_TEMPERROR;
        s->said.why = "DNS did not say";
        return;
    }
    if (key->state == VERIFY_KEY_NONE) {
        wrong(s, "there is no key");
        return;
    }
    why = verify_key_open(&pkey, &strict, key->text, s->is_ed25519, v->p);
    if (!why && strict && strcasecmp(s->identity, s->said.domain) != 0)
        why = "i= is not d=";
    if (why) {
        wrong(s, why);
        return;
    }
    s->said.result = MG_VERIFY_FAIL;
    if (!body_is_same(s, v))
        s->said.why = "the body has changed";
    else if (head_digest(digest, s, v) != APR_SUCCESS
             || !verify_digest(pkey, s->is_ed25519, digest,
                               verify_tag_packed(&s->tags, "b", v->p), v->p))
        s->said.why = "the signature is wrong";
    else
        s->said.result = MG_VERIFY_PASS;
}
