/* receiver_rates.c - see receiver_rates.h.
 *
 * Of each who there is one time: when what it sent would all be paid for, at
 * the even rate. It is allowed to lie up to an hour ahead. A who that was not
 * seen for an hour owes nothing: so two generations of a hash are enough, as
 * in auth_memory.c.
 */
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>

#include "mg_time.h"
#include "receiver_rates.h"

#define HOUR apr_time_from_sec(3600)
#define GENERATION_MAX 20000
#define KEY_MAX 400

typedef struct {
    apr_time_t paid[2];  /* messages, recipients */
} owed_t;

struct smtp_rates_t {
    apr_pool_t *parent, *pools[2];
    apr_hash_t *hashes[2];   /* 0: newer */
    apr_time_t born;
};

static void begin_generation(smtp_rates_t *rates, int i)
{
    apr_pool_create(&rates->pools[i], rates->parent);
    rates->hashes[i] = apr_hash_make(rates->pools[i]);
}

smtp_rates_t *smtp_rates_create(apr_pool_t *p)
{
    smtp_rates_t *rates = apr_pcalloc(p, sizeof(*rates));

    rates->parent = p;
    rates->born = mg_ticks();
    begin_generation(rates, 0);
    begin_generation(rates, 1);
    return rates;
}

static void turn(smtp_rates_t *rates)
{
    apr_time_t now = mg_ticks();

    if (now - rates->born < HOUR
        && apr_hash_count(rates->hashes[0]) < GENERATION_MAX)
        return;
    apr_pool_destroy(rates->pools[1]);
    rates->pools[1] = rates->pools[0];
    rates->hashes[1] = rates->hashes[0];
    begin_generation(rates, 0);
    rates->born = now;
}

static const owed_t *find(smtp_rates_t *rates, const char *key)
{
    const owed_t *owed;

    turn(rates);
    owed = apr_hash_get(rates->hashes[0], key, APR_HASH_KEY_STRING);
    return owed ? owed : apr_hash_get(rates->hashes[1], key,
                                      APR_HASH_KEY_STRING);
}

static owed_t *find_or_add(smtp_rates_t *rates, const char *key)
{
    const owed_t *before = find(rates, key);
    owed_t *owed = apr_hash_get(rates->hashes[0], key, APR_HASH_KEY_STRING);

    if (owed != NULL)
        return owed;
    owed = apr_pcalloc(rates->pools[0], sizeof(*owed));
    if (before != NULL)
        *owed = *before;
    apr_hash_set(rates->hashes[0], apr_pstrdup(rates->pools[0], key),
                 APR_HASH_KEY_STRING, owed);
    return owed;
}

static const char *make_key(char key[KEY_MAX], smtp_rate_kind_t kind,
                            const char *who)
{
    char *c;

    apr_snprintf(key, KEY_MAX, "%d %s", (int)kind, who);
    for (c = key; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    return key;
}

static int fits(smtp_rates_t *rates, smtp_rate_kind_t kind, const char *who,
                apr_int64_t an_hour, int which)
{
    char key[KEY_MAX];
    const owed_t *owed;

    if (an_hour <= 0)
        return 1;
    owed = find(rates, make_key(key, kind, who));
    return owed == NULL
           || owed->paid[which] + HOUR / an_hour <= mg_ticks() + HOUR;
}

int smtp_rates_message_fits(smtp_rates_t *rates, smtp_rate_kind_t kind,
                            const char *who, const mg_rate_t *limit)
{
    return fits(rates, kind, who, limit->messages, 0);
}

int smtp_rates_recipient_fits(smtp_rates_t *rates, smtp_rate_kind_t kind,
                              const char *who, const mg_rate_t *limit)
{
    return fits(rates, kind, who, limit->recipients, 1);
}

static void pay(apr_time_t *paid, apr_int64_t an_hour, int n)
{
    apr_time_t now = mg_ticks();

    if (an_hour <= 0 || n <= 0)
        return;
    if (*paid < now)
        *paid = now;
    *paid += HOUR / an_hour * n;
}

void smtp_rates_count(smtp_rates_t *rates, smtp_rate_kind_t kind,
                      const char *who, const mg_rate_t *limit, int messages,
                      int recipients)
{
    char key[KEY_MAX];
    owed_t *owed;

    if (limit->messages <= 0 && limit->recipients <= 0)
        return;
    owed = find_or_add(rates, make_key(key, kind, who));
    pay(&owed->paid[0], limit->messages, messages);
    pay(&owed->paid[1], limit->recipients, recipients);
}
