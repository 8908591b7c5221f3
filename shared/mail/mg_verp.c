/* mg_verp.c - bounce+<mac><tag>.<id>-<local>=<rcptdomain>@<domain> */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_verp.h"

#define PREFIX "bounce+"
#define LOCAL_MAX 64
#define SHARED 'f'           /* begins the tags of senders that many share */

/* The first n digits of the MAC of text in lower case. */
static void mac_of(char *hex, int n, const unsigned char key[32], char *text)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char mac[32];
    char *c;
    int i;

    for (c = text; *c; c++)
        *c = (char)apr_tolower(*c);
    mg_hmac_sha256(mac, key, 32, text, strlen(text));
    for (i = 0; i < n; i++)
        hex[i] = digits[i % 2 ? mac[i / 2] & 15 : mac[i / 2] >> 4];
    hex[n] = '\0';
}

static void make_mac(char hex[MG_VERP_MAC + 1], const unsigned char key[32],
                     const mg_verp_t *verp, const char *domain)
{
    char text[320];

    apr_snprintf(text, sizeof(text), "%" APR_INT64_T_FMT "|%s|%s",
                 verp->message_id, verp->tag, domain);
    mac_of(hex, MG_VERP_MAC, key, text);
}

static void make_tag(char tag[MG_VERP_TAG + 1], const unsigned char key[32],
                     apr_int64_t message_id, const char *recipient)
{
    char text[400];

    apr_snprintf(text, sizeof(text), "to|%" APR_INT64_T_FMT "|%s", message_id,
                 recipient);
    mac_of(tag, MG_VERP_TAG, key, text);
    if (!strchr(recipient, '@'))
        tag[0] = SHARED;
    else if (tag[0] == SHARED)
        tag[0] = 'e';
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

char *mg_verp_make(const unsigned char key[32], apr_int64_t message_id,
                   const char *recipient, const char *domain, apr_pool_t *p)
{
    char mac[MG_VERP_MAC + 1], head[64], tail[LOCAL_MAX + 1];
    mg_verp_t verp;

    verp.message_id = message_id;
    make_tag(verp.tag, key, message_id, recipient);
    make_mac(mac, key, &verp, domain);
    apr_snprintf(head, sizeof(head), PREFIX "%s%s.%" APR_UINT64_T_HEX_FMT "-",
                 mac, verp.tag, (apr_uint64_t)message_id);
    put_tail(tail, LOCAL_MAX - strlen(head), recipient);
    return apr_pstrcat(p, head, tail, "@", domain, NULL);
}

/* n hex digits, as lower case; 0: they are none. */
static int take_hex(char *to, const char *s, int n)
{
    int i;

    for (i = 0; i < n; i++) {
        if (!apr_isxdigit(s[i]))
            return 0;
        to[i] = (char)apr_tolower(s[i]);
    }
    to[n] = '\0';
    return 1;
}

/* <mac><tag>.<id>. @return behind it; NULL: something else */
static const char *take_claim(mg_verp_claim_t *claim, const char *s)
{
    apr_uint64_t id = 0;
    int n;

    if (!take_hex(claim->mac, s, MG_VERP_MAC)
        || !take_hex(claim->verp.tag, s + MG_VERP_MAC, MG_VERP_TAG))
        return NULL;
    s += MG_VERP_MAC + MG_VERP_TAG;
    if (*s++ != '.')
        return NULL;
    for (n = 0; n < 16 && apr_isxdigit(*s); n++, s++) {
        char c = (char)apr_tolower(*s);

        id = id << 4 | (apr_uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    claim->verp.message_id = (apr_int64_t)id;
    return n == 0 ? NULL : s;
}

apr_status_t mg_verp_prove(const mg_verp_claim_t *claim,
                           const unsigned char key[32], const char *domain)
{
    char want[MG_VERP_MAC + 1];

    make_mac(want, key, &claim->verp, domain);
    return mg_text_same_secret(claim->mac, want, MG_VERP_MAC) ? APR_SUCCESS
                                                              : MG_EDENIED;
}

apr_status_t mg_verp_read(mg_verp_t *verp, const unsigned char key[32],
                          const char *local, const char *domain)
{
    mg_verp_claim_t claim;
    const char *s;

    if (strncasecmp(local, PREFIX, sizeof(PREFIX) - 1) != 0)
        return APR_ENOENT;
    s = take_claim(&claim, local + sizeof(PREFIX) - 1);
    if (!s || *s != '-')
        return APR_ENOENT;
    *verp = claim.verp;
    return mg_verp_prove(&claim, key, domain);
}

char *mg_verp_report_id(const char *sender, apr_pool_t *p)
{
    const char *s = sender + sizeof(PREFIX) - 1, *end;
    mg_verp_claim_t claim;

    if (strncasecmp(sender, PREFIX, sizeof(PREFIX) - 1) != 0)
        return NULL;
    end = take_claim(&claim, s);
    return end ? apr_pstrmemdup(p, s, (apr_size_t)(end - s)) : NULL;
}

const char *mg_verp_find(mg_verp_claim_t *claim, const char *text)
{
    const char *dot = text, *from, *end;

    while ((dot = strchr(dot, '.')) != NULL) {
        if (dot++ - text < MG_VERP_MAC + MG_VERP_TAG)
            continue;
        from = dot - 1 - MG_VERP_MAC - MG_VERP_TAG;
        if (from > text && apr_isalnum(from[-1]))
            continue;
        end = take_claim(claim, from);
        if (end && !apr_isalnum(*end))
            return end;
    }
    return NULL;
}

int mg_verp_is_shared(const mg_verp_t *verp)
{
    return verp->tag[0] == SHARED;
}

int mg_verp_is_for(const mg_verp_t *verp, const unsigned char key[32],
                   const char *recipient)
{
    char tag[MG_VERP_TAG + 1];

    make_tag(tag, key, verp->message_id, recipient);
    return strcmp(tag, verp->tag) == 0;
}
