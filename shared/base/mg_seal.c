/* mg_seal.c - secrets at rest: X25519 (RFC 7748), HKDF (RFC 5869),
 * AES-256-GCM; bcrypt.
 *
 * The secret file is text, so that a person sees what it is:
 *
 *     mailgun-secret 1
 *     private <64 hex>
 *     root <64 hex>
 *
 * and the .pub beside it "mailgun-public 1", "public <64 hex>".
 */
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_file_io.h>
#include <apr_md5.h>
#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEAL_VERSION 1
#define KEY_LEN 32
#define NONCE_LEN 12
#define TAG_LEN 16
#define HEAD_LEN (1 + KEY_LEN + NONCE_LEN)
#define FILE_MAX 1024

struct mg_secret_t {
    EVP_PKEY *private_key;  /* NULL: this process can only seal */
    unsigned char public_key[KEY_LEN];
    unsigned char root[KEY_LEN];
};

/* hashes */

void mg_sha256(unsigned char digest[32], const void *data, apr_size_t len)
{
    SHA256(data, len, digest);
}

/* A copy of tracked mail makes two for each of its links: a context that a thread
 * keeps takes 0.8 us for one, HMAC() 2.3. */
static pthread_once_t macs_once = PTHREAD_ONCE_INIT;
static pthread_key_t macs;
static EVP_MAC *hmac;

static void free_mac(void *ctx)
{
    EVP_MAC_CTX_free(ctx);
}

static void make_macs(void)
{
    hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (hmac && pthread_key_create(&macs, free_mac) != 0)
        hmac = NULL;
}

/* NULL: there is none to be had */
static EVP_MAC_CTX *mac_of_thread(void)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[2] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end()
    };
    EVP_MAC_CTX *ctx;

    pthread_once(&macs_once, make_macs);
    if (!hmac)
        return NULL;
    ctx = pthread_getspecific(macs);
    if (ctx)
        return ctx;
    ctx = EVP_MAC_CTX_new(hmac);
    if (ctx && (EVP_MAC_CTX_set_params(ctx, params) != 1
                || pthread_setspecific(macs, ctx) != 0)) {
        EVP_MAC_CTX_free(ctx);
        return NULL;
    }
    return ctx;
}

void mg_hmac_sha256(unsigned char mac[32], const void *key, apr_size_t key_len,
                    const void *data, apr_size_t len)
{
    EVP_MAC_CTX *ctx = key_len ? mac_of_thread() : NULL;
    size_t n;

    if (ctx && EVP_MAC_init(ctx, key, key_len, NULL) == 1
        && EVP_MAC_update(ctx, data, len) == 1
        && EVP_MAC_final(ctx, mac, &n, 32) == 1)
        return;
    HMAC(EVP_sha256(), key, (int)key_len, data, len, mac, NULL);
}

static apr_status_t hkdf(unsigned char out[KEY_LEN], const void *key,
                         apr_size_t key_len, const void *salt,
                         apr_size_t salt_len, const char *info)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM params[5], *at = params;
    char digest[] = "SHA256";
    int ok;

    *at++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)key,
                                              key_len);
    if (salt_len)
        *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT,
                                                  (void *)salt, salt_len);
    *at++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                              (void *)info, strlen(info));
    *at = OSSL_PARAM_construct_end();
    ok = ctx && EVP_KDF_derive(ctx, out, KEY_LEN, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok ? APR_SUCCESS : MG_ECRYPT;
}

/* files */

static apr_status_t read_hex(unsigned char out[KEY_LEN], const char *text,
                             const char *name)
{
    const char *at = strstr(text, name);
    int i;

    if (!at)
        return MG_ECRYPT;
    at += strlen(name);
    for (i = 0; i < KEY_LEN; i++, at += 2) {
        unsigned int byte;
        if (strspn(at, "0123456789abcdef") < 2 || sscanf(at, "%2x", &byte) != 1)
            return MG_ECRYPT;
        out[i] = (unsigned char)byte;
    }
    return APR_SUCCESS;
}

static apr_status_t read_small_file(char text[FILE_MAX], const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return errno;
    n = read(fd, text, FILE_MAX - 1);
    close(fd);
    if (n < 0)
        return errno;
    text[n] = '\0';
    return APR_SUCCESS;
}

/* All or nothing, on disk before it has its name, and never over another. */
static apr_status_t write_new_file(const char *path, const char *text,
                                   mode_t mode, apr_pool_t *p)
{
    char *temp = apr_psprintf(p, "%s.new.%d", path, (int)getpid());
    apr_size_t len = strlen(text);
    apr_status_t rv = APR_SUCCESS;
    int fd;

    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (write(fd, text, len) != (ssize_t)len || fchmod(fd, mode) != 0
        || fsync(fd) != 0)
        rv = errno ? errno : EIO;
    close(fd);
    if (rv == APR_SUCCESS && link(temp, path) != 0)
        rv = errno;
    unlink(temp);
    return rv;
}

static apr_status_t write_public(const char *path, EVP_PKEY *key,
                                 apr_pool_t *p)
{
    unsigned char raw[KEY_LEN];
    size_t len = sizeof(raw);
    apr_status_t rv;

    if (EVP_PKEY_get_raw_public_key(key, raw, &len) != 1)
        return MG_ECRYPT;
    rv = write_new_file(apr_pstrcat(p, path, ".pub", NULL),
                        apr_pstrcat(p, "mailgun-public 1\npublic ",
                                    mg_text_hex(raw, len, p), "\n", NULL),
                        0644, p);
    return rv == EEXIST ? APR_SUCCESS : rv;
}

static apr_status_t load_private(mg_secret_t *secret, const char *text)
{
    unsigned char raw[KEY_LEN];
    size_t len = KEY_LEN;

    if (strncmp(text, "mailgun-secret 1\n", 17) != 0
        || read_hex(raw, text, "\nprivate ") != APR_SUCCESS
        || read_hex(secret->root, text, "\nroot ") != APR_SUCCESS)
        return MG_ECRYPT;
    secret->private_key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, raw, KEY_LEN);
    OPENSSL_cleanse(raw, sizeof(raw));
    if (!secret->private_key
        || EVP_PKEY_get_raw_public_key(secret->private_key,
                                       secret->public_key, &len) != 1)
        return MG_ECRYPT;
    return APR_SUCCESS;
}

static apr_status_t load_public(mg_secret_t *secret, const char *path,
                                apr_pool_t *p)
{
    char text[FILE_MAX];
    apr_status_t rv;

    rv = read_small_file(text, apr_pstrcat(p, path, ".pub", NULL));
    if (rv != APR_SUCCESS)
        return rv;
    if (strncmp(text, "mailgun-public 1\n", 17) != 0)
        return MG_ECRYPT;
    return read_hex(secret->public_key, text, "\npublic ");
}

static apr_status_t free_secret(void *data)
{
    mg_secret_t *secret = data;

    EVP_PKEY_free(secret->private_key);
    OPENSSL_cleanse(secret, sizeof(*secret));
    return APR_SUCCESS;
}

apr_status_t mg_secret_load(mg_secret_t **psecret, const char *path,
                            apr_pool_t *p)
{
    mg_secret_t *secret = apr_pcalloc(p, sizeof(*secret));
    char text[FILE_MAX];
    apr_status_t rv, public_rv;

    *psecret = NULL;
    apr_pool_cleanup_register(p, secret, free_secret, apr_pool_cleanup_null);
    rv = read_small_file(text, path);
    if (rv == APR_SUCCESS) {
        rv = load_private(secret, text);
        OPENSSL_cleanse(text, sizeof(text));
    }
    else {
        public_rv = load_public(secret, path, p);
        /* without either file, the private one's error is the telling one */
        rv = public_rv == APR_SUCCESS || public_rv == MG_ECRYPT ? public_rv
                                                                : rv;
    }
    if (rv == APR_SUCCESS)
        *psecret = secret;
    return rv;
}

apr_status_t mg_secret_create(const char *path, apr_pool_t *p)
{
    unsigned char raw[KEY_LEN], root[KEY_LEN];
    mg_secret_t *old;
    EVP_PKEY *key;
    apr_status_t rv;

    rv = mg_secret_load(&old, path, p);
    if (rv == APR_SUCCESS && mg_secret_can_open(old)) {
        rv = write_public(path, old->private_key, p);
        return rv == APR_SUCCESS ? APR_EEXIST : rv;
    }
    if (RAND_priv_bytes(raw, sizeof(raw)) != 1
        || RAND_priv_bytes(root, sizeof(root)) != 1)
        return MG_ECRYPT;
    key = EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, NULL, raw, KEY_LEN);
    if (!key)
        return MG_ECRYPT;
    rv = write_new_file(path,
                        apr_pstrcat(p, "mailgun-secret 1\nprivate ",
                                    mg_text_hex(raw, KEY_LEN, p), "\nroot ",
                                    mg_text_hex(root, KEY_LEN, p), "\n",
                                    NULL),
                        0640, p);
    if (rv == APR_SUCCESS)
        rv = write_public(path, key, p);
    EVP_PKEY_free(key);
    OPENSSL_cleanse(raw, sizeof(raw));
    OPENSSL_cleanse(root, sizeof(root));
    return rv;
}

int mg_secret_can_open(const mg_secret_t *secret)
{
    return secret->private_key != NULL;
}

apr_status_t mg_secret_derive(unsigned char key[32], const mg_secret_t *secret,
                              const char *info)
{
    if (!secret->private_key)
        return MG_ECRYPT; /* the public file has no root */
    return hkdf(key, secret->root, KEY_LEN, NULL, 0, info);
}

/* sealing */

/* The key of one seal: HKDF over the shared point, salted with both public
 * keys, for one label. */
static apr_status_t seal_key(unsigned char out[KEY_LEN], EVP_PKEY *ours,
                             const unsigned char theirs[KEY_LEN],
                             const unsigned char ephemeral[KEY_LEN],
                             const unsigned char recipient[KEY_LEN],
                             const char *label)
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, NULL, theirs,
                                                 KEY_LEN);
    EVP_PKEY_CTX *ctx = peer ? EVP_PKEY_CTX_new(ours, NULL) : NULL;
    unsigned char point[KEY_LEN], salt[2 * KEY_LEN];
    size_t len = sizeof(point);
    apr_status_t rv = MG_ECRYPT;

    memcpy(salt, ephemeral, KEY_LEN);
    memcpy(salt + KEY_LEN, recipient, KEY_LEN);
    if (ctx && EVP_PKEY_derive_init(ctx) == 1
        && EVP_PKEY_derive_set_peer(ctx, peer) == 1
        && EVP_PKEY_derive(ctx, point, &len) == 1)
        rv = hkdf(out, point, len, salt, sizeof(salt), label);
    OPENSSL_cleanse(point, sizeof(point));
    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(peer);
    return rv;
}

/* version, label, NUL, row id: what a seal belongs to */
static unsigned char *additional_data(int *plen, const char *label,
                                      apr_int64_t row_id, apr_pool_t *p)
{
    apr_size_t n = strlen(label) + 1;
    unsigned char *aad = apr_palloc(p, 1 + n + 8);
    int i;

    aad[0] = SEAL_VERSION;
    memcpy(aad + 1, label, n);
    for (i = 0; i < 8; i++)
        aad[1 + n + (apr_size_t)i] =
            (unsigned char)((apr_uint64_t)row_id >> (56 - 8 * i));
    *plen = (int)(1 + n + 8);
    return aad;
}

static apr_status_t gcm_seal(unsigned char *out, const unsigned char *key,
                             const unsigned char *nonce,
                             const unsigned char *aad, int aad_len,
                             const void *data, int len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n, ok;

    ok = ctx
         && EVP_EncryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) == 1
         && EVP_EncryptUpdate(ctx, NULL, &n, aad, aad_len) == 1
         && (len == 0 || EVP_EncryptUpdate(ctx, out, &n, data, len) == 1)
         && EVP_EncryptFinal_ex(ctx, out + len, &n) == 1
         && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN,
                                out + len) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? APR_SUCCESS : MG_ECRYPT;
}

static apr_status_t gcm_open(unsigned char *out, const unsigned char *key,
                             const unsigned char *nonce,
                             const unsigned char *aad, int aad_len,
                             const unsigned char *data, int len)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int n, ok;

    ok = ctx
         && EVP_DecryptInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, NULL) == 1
         && EVP_DecryptUpdate(ctx, NULL, &n, aad, aad_len) == 1
         && (len == 0 || EVP_DecryptUpdate(ctx, out, &n, data, len) == 1)
         && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN,
                                (void *)(data + len)) == 1
         && EVP_DecryptFinal_ex(ctx, out + len, &n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return ok ? APR_SUCCESS : MG_ECRYPT;
}

apr_status_t mg_seal(const void **psealed, apr_size_t *psealed_len,
                     const mg_secret_t *secret, const char *label,
                     apr_int64_t row_id, const void *data, apr_size_t len,
                     apr_pool_t *p)
{
    unsigned char *out = apr_palloc(p, HEAD_LEN + len + TAG_LEN);
    unsigned char key[KEY_LEN], *ephemeral = out + 1;
    unsigned char *nonce = out + 1 + KEY_LEN;
    EVP_PKEY *pair = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    size_t raw_len = KEY_LEN;
    unsigned char *aad;
    apr_status_t rv = MG_ECRYPT;
    int aad_len;

    aad = additional_data(&aad_len, label, row_id, p);
    out[0] = SEAL_VERSION;
    if (pair && len < APR_INT32_MAX
        && EVP_PKEY_get_raw_public_key(pair, ephemeral, &raw_len) == 1
        && RAND_bytes(nonce, NONCE_LEN) == 1)
        rv = seal_key(key, pair, secret->public_key, ephemeral,
                      secret->public_key, label);
    EVP_PKEY_free(pair);
    if (rv != APR_SUCCESS)
        return rv;
    rv = gcm_seal(out + HEAD_LEN, key, nonce, aad, aad_len, data, (int)len);
    OPENSSL_cleanse(key, sizeof(key));
    *psealed = out;
    *psealed_len = HEAD_LEN + len + TAG_LEN;
    return rv;
}

apr_status_t mg_unseal(const void **pdata, apr_size_t *plen,
                       const mg_secret_t *secret, const char *label,
                       apr_int64_t row_id, const void *sealed, apr_size_t len,
                       apr_pool_t *p)
{
    const unsigned char *in = sealed;
    unsigned char key[KEY_LEN], *out, *aad;
    apr_size_t data_len;
    apr_status_t rv;
    int aad_len;

    *pdata = NULL;
    *plen = 0;
    if (!secret->private_key || len < HEAD_LEN + TAG_LEN
        || len > APR_INT32_MAX || in[0] != SEAL_VERSION)
        return MG_ECRYPT;
    data_len = len - HEAD_LEN - TAG_LEN;
    out = apr_palloc(p, data_len + 1); /* NUL behind: often text */
    rv = seal_key(key, secret->private_key, in + 1, in + 1,
                  secret->public_key, label);
    if (rv != APR_SUCCESS)
        return rv;
    aad = additional_data(&aad_len, label, row_id, p);
    rv = gcm_open(out, key, in + 1 + KEY_LEN, aad, aad_len, in + HEAD_LEN,
                  (int)data_len);
    OPENSSL_cleanse(key, sizeof(key));
    if (rv != APR_SUCCESS)
        return rv;
    out[data_len] = '\0';
    *pdata = out;
    *plen = data_len;
    return APR_SUCCESS;
}

/* passwords */

#define BCRYPT_COST 10
#define BCRYPT_LEN 60

char *mg_password_hash(const char *password, apr_pool_t *p)
{
    unsigned char salt[16];
    char hash[128];

    if (RAND_bytes(salt, sizeof(salt)) != 1
        || apr_bcrypt_encode(password, BCRYPT_COST, salt, sizeof(salt), hash,
                             sizeof(hash)) != APR_SUCCESS)
        return NULL;
    return apr_pstrdup(p, hash);
}

/* What bcrypt reads of it. */
#define PASSWORD_BYTES_MAX 72

const char *mg_password_problem(const char *password)
{
    const unsigned char *c = (const unsigned char *)password;
    int n = 0;

    if (!mg_text_is_utf8(password, strlen(password)))
        return "a password is UTF-8";
    for (; *c; c++) {
        if (*c < 0x20 || *c == 0x7f)
            return "a password has no control characters";
        n += (*c & 0xc0) != 0x80;
    }
    if (n < MG_PASSWORD_MIN || n > MG_PASSWORD_MAX)
        return "a password has 5 to 32 characters";
    return c - (const unsigned char *)password > PASSWORD_BYTES_MAX
               ? "a password has at most 72 octets" : NULL;
}

int mg_password_matches(const char *password, const char *hash)
{
    /* apr_password_validate() takes anything else for crypt(3)'s */
    if (!password || !hash || strlen(hash) != BCRYPT_LEN
        || strncmp(hash, "$2y$", 4) != 0)
        return 0;
    return apr_password_validate(password, hash) == APR_SUCCESS;
}
