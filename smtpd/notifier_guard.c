/* notifier_guard.c - which addresses a customer's URL may reach.
 *
 * Asked for the very address that is about to be connected to, so that no name
 * and no second look at the DNS gets around it. Only global unicast is let
 * through (RFC 6890 and its registry); forms that carry an IPv4 address
 * (mapped, 6to4, NAT64) are judged by that address too.
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "notifier_guard.h"

typedef struct {
    unsigned char address[16];  /* IPv4 in the first 4 */
    int v6, bits;
} network_t;

struct notifier_guard_t {
    network_t *allowed;
    int nallowed;
};

static const struct {
    apr_uint32_t net;
    int bits;
    const char *what;
} refused4[] = {
    { 0x00000000, 8, "this network" },
    { 0x0a000000, 8, "private" },
    { 0x64400000, 10, "carrier-grade NAT" },
    { 0x7f000000, 8, "loopback" },
    { 0xa83f8110, 32, "metadata" },      /* 168.63.129.16, Azure's */
    { 0xa9fe0000, 16, "link-local" },
    { 0xac100000, 12, "private" },
    { 0xc0000000, 24, "IETF protocol assignments" },
    { 0xc0000200, 24, "documentation" },
    { 0xc0586300, 24, "6to4 relay" },
    { 0xc0a80000, 16, "private" },
    { 0xc6120000, 15, "benchmarking" },
    { 0xc6336400, 24, "documentation" },
    { 0xcb007100, 24, "documentation" },
    { 0xe0000000, 4, "multicast" },
    { 0xf0000000, 4, "reserved" },
};

static int in_network(const unsigned char *a, const unsigned char *net,
                      int bits)
{
    int bytes = bits / 8, rest = bits % 8;

    if (memcmp(a, net, (size_t)bytes) != 0)
        return 0;
    return rest == 0 || ((a[bytes] ^ net[bytes]) >> (8 - rest)) == 0;
}

static int is_allowed(const notifier_guard_t *guard, const unsigned char *a,
                      int v6)
{
    int i;

    for (i = 0; i < guard->nallowed; i++) {
        const network_t *n = &guard->allowed[i];

        if (n->v6 == v6 && in_network(a, n->address, n->bits))
            return 1;
    }
    return 0;
}

static const char *refuses4(const notifier_guard_t *guard,
                            const unsigned char a[4])
{
    apr_uint32_t address = (apr_uint32_t)a[0] << 24 | (apr_uint32_t)a[1] << 16
                           | (apr_uint32_t)a[2] << 8 | a[3];
    size_t i;

    if (is_allowed(guard, a, 0))
        return NULL;
    for (i = 0; i < sizeof(refused4) / sizeof(refused4[0]); i++) {
        if ((address ^ refused4[i].net) >> (32 - refused4[i].bits) == 0)
            return refused4[i].what;
    }
    return NULL;
}

static const char *refuses6(const notifier_guard_t *guard,
                            const unsigned char a[16])
{
    static const unsigned char zero[16];
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                              0xff, 0xff };
    static const unsigned char nat64[12] = { 0, 0x64, 0xff, 0x9b };
    static const unsigned char documentation[4] = { 0x20, 1, 0x0d, 0xb8 };
    static const unsigned char special[3] = { 0x20, 1, 0 };

    /* connecting to a mapped address is connecting to the IPv4 one */
    if (memcmp(a, mapped, 12) == 0)
        return refuses4(guard, a + 12);
    if (is_allowed(guard, a, 1))
        return NULL;
    if (memcmp(a, zero, 15) == 0 && a[15] <= 1)
        return a[15] ? "loopback" : "unspecified";
    if (memcmp(a, nat64, 12) == 0)
        return refuses4(guard, a + 12);
    if (a[0] == 0x20 && a[1] == 0x02)
        return refuses4(guard, a + 2);
    if ((a[0] & 0xfe) == 0xfc)
        return "unique local";
    if (a[0] == 0xfe)
        return a[1] & 0x40 ? "site-local" : "link-local";
    if (a[0] == 0xff)
        return "multicast";
    if (memcmp(a, documentation, 4) == 0)
        return "documentation";
    if (in_network(a, special, 23))
        return "IETF protocol assignments";
    return (a[0] & 0xe0) == 0x20 ? NULL : "not global unicast";
}

const char *notifier_guard_refuses(const notifier_guard_t *guard,
                                   const struct sockaddr *address)
{
    if (address->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;

        return refuses4(guard, (const unsigned char *)&in->sin_addr);
    }
    if (address->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;

        return refuses6(guard, in6->sin6_addr.s6_addr);
    }
    return "no IP address";
}

/* "10.0.0.0/8", "::1", also "10.0.0.0/255.0.0.0". The directive has checked
 * it; what is not understood allows nothing. */
static int read_network(network_t *n, const char *text, apr_pool_t *p)
{
    char *address = apr_pstrdup(p, text), *slash = strchr(address, '/');
    unsigned char mask[4];
    int i;

    if (slash)
        *slash++ = '\0';
    n->v6 = strchr(address, ':') != NULL;
    if (inet_pton(n->v6 ? AF_INET6 : AF_INET, address, n->address) != 1)
        return 0;
    n->bits = n->v6 ? 128 : 32;
    if (slash == NULL)
        return 1;
    if (!n->v6 && inet_pton(AF_INET, slash, mask) == 1) {
        for (i = 0; i < 32 && mask[i / 8] & (0x80 >> i % 8); i++)
            ;
        n->bits = i;
        return 1;
    }
    i = (int)strtol(slash, &slash, 10);
    if (*slash || i < 0 || i > n->bits)
        return 0;
    n->bits = i;
    return 1;
}

notifier_guard_t *notifier_guard_create(const apr_array_header_t *allow,
                                        apr_pool_t *p)
{
    notifier_guard_t *guard = apr_pcalloc(p, sizeof(*guard));
    int i;

    if (allow == NULL)
        return guard;
    guard->allowed = apr_pcalloc(p, sizeof(network_t)
                                        * ((apr_size_t)allow->nelts + 1));
    for (i = 0; i < allow->nelts; i++) {
        if (read_network(&guard->allowed[guard->nallowed],
                         APR_ARRAY_IDX(allow, i, const char *), p))
            guard->nallowed++;
    }
    return guard;
}
