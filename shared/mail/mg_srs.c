/* mg_srs.c - envelope senders of what routes forward (mg_srs.h). */
#include <string.h>
#include <strings.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_seal.h"
#include "mg_srs.h"
#include "mg_status.h"
#include "mg_text.h"

#define LOCAL_MAX 64
#define MAC_LEN 8
#define PREFIX_LEN 5          /* "SRS0=" */
#define DAYS 1024

static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";

/* Of the kind ('0', '1', 'm'), what stands behind the mac, and our domain. */
static void make_mac(char mac[MAC_LEN + 1], const unsigned char key[32],
                     char kind, const char *rest, const char *domain,
                     apr_pool_t *p)
{
    char *text = mg_text_lower(apr_psprintf(p, "srs%c|%s|%s", kind, rest,
                                            domain), p);
    unsigned char digest[32];
    int i;

    mg_hmac_sha256(digest, key, 32, text, strlen(text));
    for (i = 0; i < MAC_LEN; i++)
        mac[i] = letters[digest[i] & 31];
    mac[MAC_LEN] = '\0';
}

static int day_of(apr_time_t now)
{
    return (int)(apr_time_sec(now) / 86400 % DAYS);
}

static const char *stamp(apr_time_t now, apr_pool_t *p)
{
    int day = day_of(now);

    return apr_psprintf(p, "%c%c", letters[day / 32], letters[day % 32]);
}

static int letter(char c)
{
    const char *at = c ? strchr(letters, apr_tolower(c)) : NULL;

    return at ? (int)(at - letters) : -1;
}

static int is_fresh(const char *s, apr_time_t now)
{
    int high = letter(s[0]), low = high < 0 ? -1 : letter(s[1]);

    return low >= 0
           && (day_of(now) - (high * 32 + low) + DAYS) % DAYS <= MG_SRS_DAYS;
}

/* A dot-string with a domain: what may stand in a local part unquoted. */
static int is_plain(const char *address)
{
    const char *c;

    for (c = address; *c; c++)
        if (!apr_isalnum(*c) && !strchr("!#$%&'*+-/=?^_`{|}~.@", *c))
            return 0;
    return strchr(address, '@') == strrchr(address, '@')
           && strstr(address, "..") == NULL && *address != '.';
}

static char *whole(const unsigned char key[32], char kind, const char *rest,
                   const char *domain, apr_pool_t *p)
{
    char mac[MAC_LEN + 1];

    make_mac(mac, key, kind, rest, domain, p);
    return apr_psprintf(p, "SRS%c=%s=%s@%s", kind == 'm' ? 'M' : kind, mac,
                        rest, domain);
}

char *mg_srs_make(const unsigned char key[32], const char *sender,
                  const char *domain, apr_int64_t message_id, apr_time_t now,
                  apr_pool_t *p)
{
    const char *at = strrchr(sender, '@');
    const char *rest = NULL;
    char kind = '0';

    if (at && is_plain(sender)) {
        apr_size_t local = (apr_size_t)(at - sender);

        if (!strncasecmp(sender, "SRS0", 4) && strchr("=+-", sender[4])) {
            kind = '1'; /* the first host's own, with its separator */
            rest = apr_psprintf(p, "%s=%.*s", at + 1, (int)local - 4,
                                sender + 4);
        }
        else if (!strncasecmp(sender, "SRS1", 4) && strchr("=+-", sender[4])
                 && strchr(sender + 5, '=')) {
            kind = '1'; /* who forwarded in between need not see it again */
            rest = apr_psprintf(p, "%.*s", (int)local
                                    - (int)(strchr(sender + 5, '=') + 1
                                            - sender),
                                strchr(sender + 5, '=') + 1);
        }
        else {
            rest = apr_psprintf(p, "%s=%s=%.*s", stamp(now, p), at + 1,
                                (int)local, sender);
        }
    }
    if (!rest || PREFIX_LEN + MAC_LEN + 1 + strlen(rest) > LOCAL_MAX
        || rest[strlen(rest) - 1] == '.') {
        kind = 'm';
        rest = apr_psprintf(p, "%s=%" APR_UINT64_T_HEX_FMT, stamp(now, p),
                            (apr_uint64_t)message_id);
    }
    return whole(key, kind, rest, domain, p);
}

/* tt=domain=local */
static const char *first_hop(const char *rest, apr_time_t now, apr_pool_t *p)
{
    const char *domain = rest + 3, *local;

    if (strlen(rest) < 4 || !is_fresh(rest, now) || rest[2] != '=')
        return NULL;
    local = strchr(domain, '=');
    if (!local || local == domain || !local[1])
        return NULL;
    return apr_psprintf(p, "%s@%.*s", local + 1, (int)(local - domain),
                        domain);
}

/* first=rest: the mac's age is the first host's affair. */
static const char *second_hop(const char *rest, apr_pool_t *p)
{
    const char *more = strchr(rest, '=');

    if (!more || more == rest || !more[1])
        return NULL;
    return apr_psprintf(p, "SRS0%s@%.*s", more + 1, (int)(more - rest), rest);
}

apr_status_t mg_srs_read(mg_srs_t *srs, const unsigned char key[32],
                         const char *local, const char *domain,
                         apr_time_t now, apr_pool_t *p)
{
    char mac[MAC_LEN + 1], given[MAC_LEN + 1];
    const char *rest = local + PREFIX_LEN + MAC_LEN + 1;
    char kind, *end;
    int i;

    memset(srs, 0, sizeof(*srs));
    if (strncasecmp(local, "SRS", 3) != 0)
        return APR_ENOENT;
    kind = (char)apr_tolower(local[3]);
    if (!kind || !strchr("01m", kind) || local[4] != '='
        || strlen(local) < PREFIX_LEN + MAC_LEN + 2
        || local[PREFIX_LEN + MAC_LEN] != '=')
        return APR_ENOENT;
    for (i = 0; i < MAC_LEN; i++)
        given[i] = (char)apr_tolower(local[PREFIX_LEN + i]);
    make_mac(mac, key, kind, rest, domain, p);
    if (!mg_text_same_secret(mac, given, MAC_LEN))
        return MG_EDENIED;
    if (kind == '0')
        srs->address = first_hop(rest, now, p);
    else if (kind == '1')
        srs->address = second_hop(rest, p);
    else if (strlen(rest) > 3 && is_fresh(rest, now) && rest[2] == '=')
        srs->message_id = (apr_int64_t)apr_strtoi64(rest + 3, &end, 16);
    return srs->address || srs->message_id ? APR_SUCCESS : MG_EDENIED;
}
