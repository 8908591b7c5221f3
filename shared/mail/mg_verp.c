/* mg_verp.c - bounce+<mac>.<id>-<local>=<rcptdomain>@<domain> */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_verp.h"

#define PREFIX "bounce+"
#define MAC_BYTES 6
#define LOCAL_MAX 64

static void make_mac(char hex[2 * MAC_BYTES + 1], const unsigned char key[32],
                     apr_int64_t id, const char *domain)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char mac[32];
    char text[320], *c;
    int i;

    apr_snprintf(text, sizeof(text), "%" APR_INT64_T_FMT "|%s", id, domain);
    for (c = text; *c; c++)
        *c = (char)apr_tolower(*c);
    mg_hmac_sha256(mac, key, 32, text, strlen(text));
    for (i = 0; i < MAC_BYTES; i++) {
        hex[2 * i] = digits[mac[i] >> 4];
        hex[2 * i + 1] = digits[mac[i] & 15];
    }
    hex[2 * MAC_BYTES] = '\0';
}

/* The recipient is there for people to read: what would not be a dot-string
 * (RFC 5321 4.1.2) is replaced, what is too long is cut. */
static void put_tail(char *out, apr_size_t room, const char *recipient)
{
    const char *at = strrchr(recipient, '@');
    char *o = out;

    for (; *recipient && (apr_size_t)(o - out) < room; recipient++) {
        char c = *recipient;

        if (recipient == at)
            c = '=';
        else if (c == '.' ? (o > out && o[-1] == '.')
                          : !(apr_isalnum(c) || strchr("!#$%&'*+-/=?^_", c)))
            c = '_';
        *o++ = c;
    }
    while (o > out && o[-1] == '.')
        o--;
    *o = '\0';
}

char *mg_verp_make(const unsigned char key[32], apr_int64_t id,
                   const char *recipient, const char *domain, apr_pool_t *p)
{
    char mac[2 * MAC_BYTES + 1], head[48], tail[LOCAL_MAX + 1];

    make_mac(mac, key, id, domain);
    apr_snprintf(head, sizeof(head), PREFIX "%s.%" APR_UINT64_T_HEX_FMT "-",
                 mac, (apr_uint64_t)id);
    put_tail(tail, LOCAL_MAX - strlen(head), recipient);
    return apr_pstrcat(p, head, tail, "@", domain, NULL);
}

apr_status_t mg_verp_read(apr_int64_t *pid, const unsigned char key[32],
                          const char *local, const char *domain)
{
    const char *mac, *s;
    char given[2 * MAC_BYTES], want[2 * MAC_BYTES + 1];
    apr_uint64_t id = 0;
    int i, n;

    if (strncasecmp(local, PREFIX, sizeof(PREFIX) - 1) != 0)
        return APR_ENOENT;
    mac = local + sizeof(PREFIX) - 1;
    for (i = 0; i < 2 * MAC_BYTES; i++) {
        if (!apr_isxdigit(mac[i]))
            return APR_ENOENT;
        given[i] = (char)apr_tolower(mac[i]);
    }
    s = mac + 2 * MAC_BYTES;
    if (*s++ != '.')
        return APR_ENOENT;
    for (n = 0; n < 16 && apr_isxdigit(*s); n++, s++) {
        char c = (char)apr_tolower(*s);

        id = id << 4 | (apr_uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    if (n == 0 || *s != '-')
        return APR_ENOENT;
    make_mac(want, key, (apr_int64_t)id, domain);
    if (!mg_text_same_secret(given, want, 2 * MAC_BYTES))
        return MG_EDENIED;
    *pid = (apr_int64_t)id;
    return APR_SUCCESS;
}
