/* api_auth.c - whose key: Basic authentication, "api" and an API key.
 *
 * A key that was found is remembered by its SHA-256: neither the key nor
 * anything that depends on its characters is compared. That lasts for one
 * generation of the configuration (mg_shared.h), and for a second: nobody tells
 * of what was changed on another machine.
 */
#include "api.h"

#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_account.h"
#include "mg_log.h"
#include "mg_text.h"
#include "mg_time.h"

#define KEY_MAX 256
#define FRESH_FOR apr_time_from_sec(1)

static int forbidden(api_t *q)
{
    apr_table_setn(q->r->headers_out, "WWW-Authenticate",
                   "Basic realm=\"MG API\"");
    return api_reply(q, HTTP_UNAUTHORIZED, "text/html; charset=utf-8",
                     "Forbidden");
}

/* The password of user "api", or NULL (RFC 7617). */
static const char *read_key(api_t *q)
{
    const char *header = apr_table_get(q->r->headers_in, "Authorization");
    char *text;
    int len;

    if (!header || strncasecmp(header, "Basic ", 6) != 0)
        return NULL;
    for (header += 6; *header == ' '; header++)
        ;
    if (strlen(header) > KEY_MAX * 2)
        return NULL;
    text = apr_palloc(q->p, (apr_size_t)apr_base64_decode_len(header) + 1);
    len = apr_base64_decode_binary((unsigned char *)text, header);
    text[len] = '\0';
    if (strlen(text) != (apr_size_t)len || strncmp(text, "api:", 4) != 0)
        return NULL;
    return text + 4;
}

static api_key_t *cached(api_t *q, const unsigned char *digest)
{
    api_key_t *key = &q->worker->keys[digest[0] % API_KEYS];

    if (key->asked && mg_ticks() - key->asked <= FRESH_FOR &&
        key->generation == mg_shared_generation(q->child->shared) &&
        mg_text_same_secret(key->digest, digest, sizeof(key->digest)))
        return key;
    return NULL;
}

static void remember(api_t *q, const unsigned char *digest,
                     apr_uint32_t generation)
{
    api_key_t *key = &q->worker->keys[digest[0] % API_KEYS];

    memcpy(key->digest, digest, sizeof(key->digest));
    key->account_id = q->account_id;
    key->generation = generation;
    key->asked = mg_ticks();
}

int api_auth(api_t *q)
{
    const char *text = read_key(q);
    apr_uint32_t generation;
    unsigned char digest[32];
    const api_key_t *key;
    apr_status_t rv;

    if (!text || !*text)
        return forbidden(q);
    mg_sha256(digest, text, strlen(text));
    key = cached(q, digest);
    if (key) {
        q->account_id = key->account_id;
        return API_GO_ON;
    }
    /* before the look-up: what changes meanwhile makes it stale */
    generation = mg_shared_generation(q->child->shared);
    if (api_reader(q))
        return API_REPLIED;
    rv = mg_key_find(&q->account_id, q->db, text, q->p);
    if (rv == APR_ENOENT)
        return forbidden(q);
    if (rv != APR_SUCCESS)
        return api_reply_failed(q, rv, "cannot look up an API key");
    remember(q, digest, generation);
    return API_GO_ON;
}
