/* mg_dkim_sign.c - keys, and the field they make (RFC 6376 3.5, RFC 8463).
 *
 * The digest of the signed fields is made once per content; a signature adds
 * its own field to it, with an empty b=. OpenSSL's contexts live with the key:
 * a signature costs what the private key costs.
 */
#include <apr_strings.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#include "dkim_internal.h"
#include "mg_status.h"

#define LINE_MAX_ 76           /* folded to this where it can be */

struct mg_dkim_signer_t {
    int algorithm;
    const char *domain, *selector;
    EVP_PKEY *key;
    EVP_PKEY_CTX *rsa;         /* ready for EVP_PKEY_sign() */
    EVP_MD_CTX *ed25519;
};

struct mg_dkim_content_t {
    apr_pool_t *pool;
    char *head;                /* the header block while it comes in */
    apr_size_t head_len, head_size;
    int in_body, too_large;
    dkim_body_t body;
    apr_status_t failed;
    dkim_header_t header;
    char body_hash[64];        /* base64 */
};

/* --- keys --- */

static apr_status_t signer_free(void *baton)
{
    mg_dkim_signer_t *s = baton;

    EVP_PKEY_CTX_free(s->rsa);
    EVP_MD_CTX_free(s->ed25519);
    EVP_PKEY_free(s->key); /* which wipes it */
    return APR_SUCCESS;
}

static int prepare_rsa(mg_dkim_signer_t *s)
{
    s->algorithm = MG_DKIM_RSA;
    s->rsa = EVP_PKEY_CTX_new(s->key, NULL);
    return s->rsa && EVP_PKEY_sign_init(s->rsa) == 1
           && EVP_PKEY_CTX_set_rsa_padding(s->rsa, RSA_PKCS1_PADDING) == 1
           && EVP_PKEY_CTX_set_signature_md(s->rsa, dkim_sha256()) == 1;
}

static int prepare_ed25519(mg_dkim_signer_t *s)
{
    s->algorithm = MG_DKIM_ED25519;
    s->ed25519 = EVP_MD_CTX_new();
    return s->ed25519 != NULL;
}

apr_status_t mg_dkim_signer_make(mg_dkim_signer_t **psigner,
                                 const char *domain, const char *selector,
                                 const void *der, apr_size_t len,
                                 apr_pool_t *p)
{
    mg_dkim_signer_t *s = apr_pcalloc(p, sizeof(*s));
    const unsigned char *at = der;
    int ok = 0;

    *psigner = NULL;
    s->key = d2i_AutoPrivateKey(NULL, &at, (long)len);
    if (!s->key)
        return MG_ECRYPT;
    apr_pool_cleanup_register(p, s, signer_free, apr_pool_cleanup_null);
    s->domain = apr_pstrdup(p, domain);
    s->selector = apr_pstrdup(p, selector);
    if (EVP_PKEY_is_a(s->key, "RSA"))
        ok = prepare_rsa(s);
    else if (EVP_PKEY_is_a(s->key, "ED25519"))
        ok = prepare_ed25519(s);
    if (!ok)
        return MG_ECRYPT;
    *psigner = s;
    return APR_SUCCESS;
}

int mg_dkim_signer_algorithm(const mg_dkim_signer_t *signer)
{
    return signer->algorithm;
}

apr_status_t dkim_sign_digest(const char **pbase64,
                              const mg_dkim_signer_t *signer,
                              const unsigned char digest[DKIM_HASH_LEN],
                              apr_pool_t *p)
{
    unsigned char raw[1024]; /* RSA of up to 8192 bits */
    size_t len = sizeof(raw);
    char *text;
    int ok;

    *pbase64 = NULL;
    if (signer->algorithm == MG_DKIM_RSA)
        ok = EVP_PKEY_sign(signer->rsa, raw, &len, digest, DKIM_HASH_LEN) == 1;
    else /* RFC 8463 3: Ed25519 of the SHA-256 */
        ok = EVP_DigestSignInit(signer->ed25519, NULL, NULL, NULL,
                                signer->key) == 1
             && EVP_DigestSign(signer->ed25519, raw, &len, digest,
                               DKIM_HASH_LEN) == 1;
    if (!ok)
        return MG_ECRYPT;
    text = apr_palloc(p, len * 4 / 3 + 8);
    EVP_EncodeBlock((unsigned char *)text, raw, (int)len);
    *pbase64 = text;
    return APR_SUCCESS;
}

/* --- content --- */

mg_dkim_content_t *mg_dkim_content_make(apr_pool_t *p)
{
    mg_dkim_content_t *c = apr_palloc(p, sizeof(*c));

    c->pool = p;
    c->head = NULL;
    c->head_len = c->head_size = 0;
    c->in_body = c->too_large = 0;
    c->failed = dkim_body_init(&c->body, p);
    return c;
}

/* Where the body begins: behind the first empty line of what was kept.
 * @return 0: not there yet */
static apr_size_t head_end(const char *head, apr_size_t len, apr_size_t from)
{
    const char *at = head + from, *end = head + len;

    if (len >= 2 && head[0] == '\r' && head[1] == '\n')
        return 2; /* no field at all */
    while ((at = memchr(at, '\n', (apr_size_t)(end - at))) != NULL) {
        if (at - head >= 3 && at[-1] == '\r' && at[-2] == '\n'
            && at[-3] == '\r')
            return (apr_size_t)(at + 1 - head);
        at++;
    }
    return 0;
}

static void head_keep(mg_dkim_content_t *c, const char *bytes, apr_size_t len)
{
    char *more;

    if (c->head_len + len > c->head_size) {
        c->head_size = 2 * c->head_size + len + 4096;
        more = apr_palloc(c->pool, c->head_size);
        if (c->head_len)
            memcpy(more, c->head, c->head_len);
        c->head = more;
    }
    memcpy(c->head + c->head_len, bytes, len);
    c->head_len += len;
}

/* @return how many of bytes were the header block's */
static apr_size_t feed_head(mg_dkim_content_t *c, const char *bytes,
                            apr_size_t len)
{
    apr_size_t before = c->head_len, want = len, end;

    if (want > MG_DKIM_HEADER_MAX - before)
        want = MG_DKIM_HEADER_MAX - before;
    /* most header blocks are short: no need to keep all of a large slice */
    if (want > 8192)
        want = 8192;
    if (want == 0) {
        c->too_large = 1;
        return len;
    }
    head_keep(c, bytes, want);
    end = head_end(c->head, c->head_len, before > 3 ? before - 3 : 0);
    if (!end)
        return want;
    c->in_body = 1;
    c->head_len = end;
    return end - before;
}

void mg_dkim_content_feed(mg_dkim_content_t *content, const char *bytes,
                          apr_size_t len)
{
    apr_size_t used;

    while (len > 0 && !content->in_body && !content->too_large) {
        used = feed_head(content, bytes, len);
        bytes += used;
        len -= used;
    }
    if (len > 0 && content->in_body && content->failed == APR_SUCCESS)
        dkim_body_feed(&content->body, bytes, len);
}

apr_status_t mg_dkim_content_end(mg_dkim_content_t *content)
{
    unsigned char hash[DKIM_HASH_LEN];
    apr_status_t rv = content->failed;

    if (content->too_large || content->head_len == 0)
        return MG_EBADINPUT;
    if (rv == APR_SUCCESS)
        rv = dkim_body_end(hash, &content->body);
    if (rv != APR_SUCCESS)
        return rv;
    EVP_EncodeBlock((unsigned char *)content->body_hash, hash, DKIM_HASH_LEN);
    return dkim_header_read(&content->header, content->head,
                            content->head_len, content->pool);
}

apr_status_t dkim_digest(unsigned char digest[DKIM_HASH_LEN],
                         const dkim_header_t *header, const char *field,
                         apr_size_t len, apr_pool_t *p)
{
    char *canon = apr_palloc(p, len + 1);
    apr_size_t canon_len = dkim_header_relax(canon, field, len);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    int ok;

    ok = md && canon_len && EVP_DigestInit_ex2(md, dkim_sha256(), NULL) == 1
         && EVP_DigestUpdate(md, header->canon, header->canon_len) == 1
         && EVP_DigestUpdate(md, canon, canon_len) == 1
         && EVP_DigestFinal_ex(md, digest, NULL) == 1;
    EVP_MD_CTX_free(md);
    return ok ? APR_SUCCESS : MG_ECRYPT;
}

/* --- the field --- */

typedef struct {
    char *text;
    apr_size_t len, size, line;  /* line: where it begins */
    apr_pool_t *pool;
} text_t;

static void text_put(text_t *t, const char *bytes, apr_size_t len)
{
    char *more;

    if (t->len + len > t->size) {
        t->size = 2 * t->size + len;
        more = apr_palloc(t->pool, t->size);
        memcpy(more, t->text, t->len);
        t->text = more;
    }
    memcpy(t->text + t->len, bytes, len);
    t->len += len;
}

static void text_fold(text_t *t)
{
    text_put(t, "\r\n", 2);
    t->line = t->len;
    text_put(t, " ", 1);
}

/* " word", on a line of its own if it does not fit. */
static void put_tag(text_t *t, const char *word)
{
    apr_size_t len = strlen(word);

    if (t->len - t->line + 1 + len > LINE_MAX_)
        text_fold(t);
    else
        text_put(t, " ", 1);
    text_put(t, word, len);
}

/* "h=from:to:..."; FWS may stand behind a colon. */
static void put_names(text_t *t, const char *names)
{
    apr_size_t len;

    put_tag(t, "h=");
    for (; *names; names += len + 1) {
        len = strlen(names);
        if (t->len - t->line + len + 1 > LINE_MAX_)
            text_fold(t);
        text_put(t, names, len);
        text_put(t, names[len + 1] ? ":" : ";", 1);
    }
}

static void put_base64(text_t *t, const char *base64)
{
    apr_size_t len = strlen(base64), room, n;

    while (len > 0) {
        if (t->len - t->line >= LINE_MAX_)
            text_fold(t);
        room = LINE_MAX_ - (t->len - t->line);
        n = len < room ? len : room;
        text_put(t, base64, n);
        base64 += n;
        len -= n;
    }
}

/* @param instance  0: a DKIM-Signature; else of an ARC-Message-Signature, which
 *                  has another i= and no v= (RFC 8617 4.1.2) */
static void put_tags(text_t *t, const mg_dkim_signer_t *s,
                     const mg_dkim_content_t *c, int instance, apr_time_t at)
{
    static const char *const algorithms[] = { "a=rsa-sha256;",
                                              "a=ed25519-sha256;" };
    apr_pool_t *p = t->pool;

    text_put(t, instance ? "ARC-Message-Signature:" : "DKIM-Signature:",
             instance ? 22 : 15);
    put_tag(t, instance ? apr_psprintf(p, "i=%d;", instance) : "v=1;");
    put_tag(t, algorithms[s->algorithm]);
    put_tag(t, "c=relaxed/relaxed;");
    put_tag(t, apr_pstrcat(p, "d=", s->domain, ";", NULL));
    if (!instance)
        put_tag(t, apr_pstrcat(p, "i=@", s->domain, ";", NULL));
    put_tag(t, apr_pstrcat(p, "s=", s->selector, ";", NULL));
    if (!instance)
        put_tag(t, "q=dns/txt;");
    put_tag(t, apr_psprintf(p, "t=%" APR_INT64_T_FMT ";",
                            (apr_int64_t)apr_time_sec(at)));
    put_names(t, c->header.names);
    put_tag(t, apr_pstrcat(p, "bh=", c->body_hash, ";", NULL));
    text_fold(t);
    text_put(t, "b=", 2);
}

apr_status_t dkim_sign_field(const char **pfield, apr_size_t *plen,
                             const mg_dkim_signer_t *signer,
                             const mg_dkim_content_t *content, int instance,
                             apr_time_t at, apr_pool_t *p)
{
    unsigned char digest[DKIM_HASH_LEN];
    const char *base64 = "";
    text_t t = { apr_palloc(p, 2048), 0, 2048, 0, p };
    apr_status_t rv;

    *pfield = NULL;
    *plen = 0;
    put_tags(&t, signer, content, instance, at);
    rv = dkim_digest(digest, &content->header, t.text, t.len, p);
    if (rv == APR_SUCCESS)
        rv = dkim_sign_digest(&base64, signer, digest, p);
    if (rv != APR_SUCCESS)
        return rv;
    put_base64(&t, base64);
    text_put(&t, "\r\n", 3); /* a NUL behind it */
    *pfield = t.text;
    *plen = t.len - 1;
    return APR_SUCCESS;
}

apr_status_t mg_dkim_sign(const char **pfield, apr_size_t *plen,
                          const mg_dkim_signer_t *signer,
                          const mg_dkim_content_t *content, apr_time_t at,
                          apr_pool_t *p)
{
    return dkim_sign_field(pfield, plen, signer, content, 0, at, p);
}

apr_status_t dkim_seal_field(const char **pfield, apr_size_t *plen,
                             const mg_dkim_signer_t *signer, int instance,
                             const char *cv, const char *sets,
                             apr_size_t sets_len, apr_time_t at, apr_pool_t *p)
{
    static const char *const algorithms[] = { "a=rsa-sha256;",
                                              "a=ed25519-sha256;" };
    dkim_header_t before = { "", sets, sets_len };
    unsigned char digest[DKIM_HASH_LEN];
    text_t t = { apr_palloc(p, 1024), 0, 1024, 0, p };
    const char *base64 = "";
    apr_status_t rv;

    text_put(&t, "ARC-Seal:", 9);
    put_tag(&t, apr_psprintf(p, "i=%d;", instance));
    put_tag(&t, algorithms[signer->algorithm]);
    put_tag(&t, apr_psprintf(p, "t=%" APR_INT64_T_FMT ";",
                             (apr_int64_t)apr_time_sec(at)));
    put_tag(&t, apr_pstrcat(p, "cv=", cv, ";", NULL));
    put_tag(&t, apr_pstrcat(p, "d=", signer->domain, ";", NULL));
    put_tag(&t, apr_pstrcat(p, "s=", signer->selector, ";", NULL));
    text_fold(&t);
    text_put(&t, "b=", 2);
    rv = dkim_digest(digest, &before, t.text, t.len, p);
    if (rv == APR_SUCCESS)
        rv = dkim_sign_digest(&base64, signer, digest, p);
    if (rv != APR_SUCCESS)
        return rv;
    put_base64(&t, base64);
    text_put(&t, "\r\n", 3);
    *pfield = t.text;
    *plen = t.len - 1;
    return APR_SUCCESS;
}

const char *dkim_content_head(apr_size_t *plen,
                              const mg_dkim_content_t *content)
{
    *plen = content->head_len;
    return content->head;
}
