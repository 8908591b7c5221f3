/* mg_id.c - identifiers: ordered by time, without asking anybody. */
#include "mg_id.h"
#include "mg_seal.h"
#include "mg_text.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#define EPOCH_MS APR_INT64_C(1577836800000) /* 2020-01-01 */
#define TIME_BITS 41
#define RANDOM_BITS 14
#define SEQUENCE_BITS 8

static uint64_t last_tick;      /* milliseconds << 8 | sequence */
static int process_bits = -1;   /* drawn once per process */

/* Without randomness nothing here is safe: better to stop. */
static void random_bytes(void *buf, apr_size_t len)
{
    char *at = buf;

    while (len) {
        ssize_t n = getrandom(at, len, 0);
        if (n <= 0)
            abort();
        at += n;
        len -= (apr_size_t)n;
    }
}

void mg_id_init(void)
{
    uint16_t bits;

    random_bytes(&bits, sizeof(bits));
    __atomic_store_n(&process_bits, bits & ((1 << RANDOM_BITS) - 1),
                     __ATOMIC_RELEASE);
}

/* From the next millisecond on, so that smaller bits make no smaller id. */
void mg_id_draw_anew(void)
{
    uint64_t last = __atomic_load_n(&last_tick, __ATOMIC_ACQUIRE);

    while (!__atomic_compare_exchange_n(
        &last_tick, &last, ((last >> SEQUENCE_BITS) + 1) << SEQUENCE_BITS, 0,
        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    mg_id_init();
}

static int own_bits(void)
{
    int bits = __atomic_load_n(&process_bits, __ATOMIC_ACQUIRE);

    while (bits < 0) {
        int expected = -1;
        uint16_t drawn;

        random_bytes(&drawn, sizeof(drawn));
        __atomic_compare_exchange_n(&process_bits, &expected,
                                    drawn & ((1 << RANDOM_BITS) - 1), 0,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
        bits = __atomic_load_n(&process_bits, __ATOMIC_ACQUIRE);
    }
    return bits;
}

apr_int64_t mg_id_next(void)
{
    apr_int64_t bits = own_bits();
    apr_int64_t ms = mg_now() / 1000 - EPOCH_MS;
    uint64_t tick, last = __atomic_load_n(&last_tick, __ATOMIC_ACQUIRE);

    if (ms < 0)
        ms = 0;
    do {
        tick = (uint64_t)ms << SEQUENCE_BITS;
        /* 256 in one millisecond, or the clock went back: count on from the
         * last one, into milliseconds that are still to come */
        if (tick <= last)
            tick = last + 1;
    } while (!__atomic_compare_exchange_n(&last_tick, &last, tick, 0,
                                          __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE));
    return (apr_int64_t)(((tick >> SEQUENCE_BITS)
                          << (RANDOM_BITS + SEQUENCE_BITS))
                         | ((uint64_t)bits << SEQUENCE_BITS)
                         | (tick & ((1 << SEQUENCE_BITS) - 1)));
}

apr_time_t mg_id_time(apr_int64_t id)
{
    return ((id >> (RANDOM_BITS + SEQUENCE_BITS)) + EPOCH_MS) * 1000;
}

apr_int64_t mg_id_floor(apr_time_t t)
{
    apr_int64_t ms = t / 1000 - EPOCH_MS;

    if (ms >> TIME_BITS > 0)
        return APR_INT64_MAX; /* after 2089 */
    return ms <= 0 ? 0 : ms << (RANDOM_BITS + SEQUENCE_BITS);
}

char *mg_id_hex24(apr_pool_t *p)
{
    unsigned char bytes[12];

    random_bytes(bytes, sizeof(bytes));
    return mg_text_hex(bytes, sizeof(bytes), p);
}

/* 8 bytes of id and 8 of its hash: always the same for one id. */
char *mg_id_event(apr_int64_t id, apr_pool_t *p)
{
    unsigned char bytes[16], digest[32];
    int i;

    for (i = 0; i < 8; i++)
        bytes[i] = (unsigned char)((apr_uint64_t)id >> (56 - 8 * i));
    mg_sha256(digest, bytes, 8);
    for (i = 0; i < 8; i++)
        bytes[8 + i] = digest[i];
    return mg_text_base64url(bytes, sizeof(bytes), p);
}

char *mg_id_message(const char *domain, apr_pool_t *p)
{
    apr_int64_t id = mg_id_next();
    apr_time_t t = mg_id_time(id);
    /* the millisecond in its second, the process's bits and the sequence */
    apr_uint64_t rest =
        ((apr_uint64_t)(t / 1000 % 1000) << (RANDOM_BITS + SEQUENCE_BITS))
        | ((apr_uint64_t)id & ((1 << (RANDOM_BITS + SEQUENCE_BITS)) - 1));

    return apr_psprintf(p, "%s.%d.%" APR_UINT64_T_FMT "@%s",
                        mg_time_compact(t, p), (int)getpid(), rest, domain);
}

char *mg_id_random(apr_size_t n, apr_pool_t *p)
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char *out = apr_palloc(p, n + 1);
    apr_size_t i = 0;

    while (i < n) {
        unsigned char bytes[64];
        apr_size_t k;

        random_bytes(bytes, sizeof(bytes));
        for (k = 0; k < sizeof(bytes) && i < n; k++)
            if (bytes[k] < 252) /* 7 * 36: every letter equally often */
                out[i++] = letters[bytes[k] % 36];
    }
    out[n] = '\0';
    return out;
}
