/* auth_memory.c - proven logins and failures (auth_memory.h).
 *
 * Each is a hash in two generations: what is older than the life of one is in
 * the older, and what is not asked for in the life of the next is gone. A full
 * generation ends early. So memory is bounded and nothing needs sweeping.
 */
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <openssl/rand.h>

#include "auth_memory.h"
#include "mg_seal.h"
#include "mg_text.h"
#include "mg_time.h"

#define PROVEN_TIME apr_time_from_sec(60)
#define FAILURE_TIME apr_time_from_sec(600)
#define GENERATION_MAX 5000
#define PAIR_DELAY apr_time_from_msec(250)  /* doubles with each failure */
#define PAIR_DELAY_MAX apr_time_from_sec(5)
#define ADDRESS_FREE 20      /* failures of an address over all logins */
#define ADDRESS_DELAY apr_time_from_sec(1)

typedef struct {
    apr_pool_t *parent, *pools[2];
    apr_hash_t *hashes[2];   /* 0: newer */
    apr_time_t born;
    apr_interval_time_t life;
} aging_t;

typedef struct {
    apr_int64_t mailbox_id;
    unsigned char mac[32];
    apr_time_t until;
} proven_t;

typedef struct {
    const char *key;
    int n;
    apr_time_t wait_until;
} failures_t;

struct auth_memory_t {
    unsigned char key[32];
    aging_t proven, failures;
};

static void aging_init(aging_t *aging, apr_interval_time_t life,
                       apr_pool_t *p)
{
    int i;

    aging->parent = p;
    aging->life = life;
    aging->born = mg_ticks();
    for (i = 0; i < 2; i++) {
        apr_pool_create(&aging->pools[i], p);
        aging->hashes[i] = apr_hash_make(aging->pools[i]);
    }
}

static void aging_turn(aging_t *aging)
{
    apr_time_t now = mg_ticks();

    if (now - aging->born < aging->life &&
        apr_hash_count(aging->hashes[0]) < GENERATION_MAX)
        return;
    apr_pool_destroy(aging->pools[1]);
    aging->pools[1] = aging->pools[0];
    aging->hashes[1] = aging->hashes[0];
    apr_pool_create(&aging->pools[0], aging->parent);
    aging->hashes[0] = apr_hash_make(aging->pools[0]);
    aging->born = now;
}

static void *aging_get(aging_t *aging, const void *key, apr_ssize_t len)
{
    void *value;

    aging_turn(aging);
    value = apr_hash_get(aging->hashes[0], key, len);
    return value ? value : apr_hash_get(aging->hashes[1], key, len);
}

auth_memory_t *auth_memory_create(apr_pool_t *p)
{
    auth_memory_t *memory = apr_pcalloc(p, sizeof(*memory));

    if (RAND_bytes(memory->key, sizeof(memory->key)) != 1)
        return NULL;
    aging_init(&memory->proven, PROVEN_TIME, p);
    aging_init(&memory->failures, FAILURE_TIME, p);
    return memory;
}

/* proven logins */

static void make_mac(unsigned char mac[32], const auth_memory_t *memory,
                     apr_int64_t mailbox_id, apr_int64_t revision,
                     const char *password)
{
    unsigned char digest[32], bound[16 + 32];

    mg_hmac_sha256(digest, memory->key, sizeof(memory->key), password,
                   strlen(password));
    memcpy(bound, &mailbox_id, 8);
    memcpy(bound + 8, &revision, 8);
    memcpy(bound + 16, digest, 32);
    mg_hmac_sha256(mac, memory->key, sizeof(memory->key), bound,
                   sizeof(bound));
}

int auth_memory_is_proven(auth_memory_t *memory, apr_int64_t mailbox_id,
                          apr_int64_t revision, const char *password)
{
    proven_t *proven = aging_get(&memory->proven, &mailbox_id,
                                 sizeof(mailbox_id));
    unsigned char mac[32];

    if (!proven || proven->until < mg_ticks())
        return 0;
    make_mac(mac, memory, mailbox_id, revision, password);
    return mg_text_same_secret(mac, proven->mac, sizeof(mac));
}

void auth_memory_prove(auth_memory_t *memory, apr_int64_t mailbox_id,
                       apr_int64_t revision, const char *password)
{
    aging_t *aging = &memory->proven;
    proven_t *proven;

    aging_turn(aging);
    proven = apr_hash_get(aging->hashes[0], &mailbox_id, sizeof(mailbox_id));
    if (!proven) {
        proven = apr_palloc(aging->pools[0], sizeof(*proven));
        proven->mailbox_id = mailbox_id;
        apr_hash_set(aging->hashes[0], &proven->mailbox_id,
                     sizeof(proven->mailbox_id), proven);
    }
    make_mac(proven->mac, memory, mailbox_id, revision, password);
    proven->until = mg_ticks() + PROVEN_TIME;
}

/* failures: by address and login, and by address alone */

static const char *pair_key(const char *ip, const char *login, char *buf,
                            apr_size_t len)
{
    char *c;

    apr_snprintf(buf, len, "%s %s", ip, login);
    for (c = buf; *c; c++) {
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    }
    return buf;
}

static apr_interval_time_t wait_of(auth_memory_t *memory, const char *key)
{
    failures_t *failures = aging_get(&memory->failures, key,
                                     APR_HASH_KEY_STRING);
    apr_interval_time_t wait =
        failures ? failures->wait_until - mg_ticks() : 0;

    return wait > 0 ? wait : 0;
}

apr_interval_time_t auth_memory_delay(auth_memory_t *memory, const char *ip,
                                      const char *login)
{
    char buf[512];
    apr_interval_time_t a = wait_of(memory, pair_key(ip, login, buf,
                                                     sizeof(buf)));
    apr_interval_time_t b = wait_of(memory, ip);

    return a > b ? a : b;
}

static failures_t *count_failure(auth_memory_t *memory, const char *key)
{
    aging_t *aging = &memory->failures;
    failures_t *before = aging_get(aging, key, APR_HASH_KEY_STRING), *now;

    now = apr_hash_get(aging->hashes[0], key, APR_HASH_KEY_STRING);
    if (!now) {
        now = apr_pcalloc(aging->pools[0], sizeof(*now));
        now->key = apr_pstrdup(aging->pools[0], key);
        now->n = before ? before->n : 0;
        apr_hash_set(aging->hashes[0], now->key, APR_HASH_KEY_STRING, now);
    }
    now->n++;
    return now;
}

void auth_memory_failed(auth_memory_t *memory, const char *ip,
                        const char *login)
{
    char buf[512];
    failures_t *f = count_failure(memory, pair_key(ip, login, buf,
                                                   sizeof(buf)));
    apr_interval_time_t wait = PAIR_DELAY << (f->n < 8 ? f->n - 1 : 7);

    f->wait_until = mg_ticks() + (wait < PAIR_DELAY_MAX ? wait
                                                        : PAIR_DELAY_MAX);
    f = count_failure(memory, ip);
    if (f->n > ADDRESS_FREE)
        f->wait_until = mg_ticks() + ADDRESS_DELAY;
}

void auth_memory_succeeded(auth_memory_t *memory, const char *ip,
                           const char *login)
{
    char buf[512];
    failures_t *f = aging_get(&memory->failures,
                              pair_key(ip, login, buf, sizeof(buf)),
                              APR_HASH_KEY_STRING);

    if (f) {
        f->n = 0;
        f->wait_until = 0;
    }
}
