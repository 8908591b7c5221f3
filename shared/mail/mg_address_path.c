/* mg_address_path.c - the paths of MAIL FROM and RCPT TO, RFC 5321 4.1.2:
 *
 *   Reverse-path = Path / "<>"
 *   Path         = "<" [ A-d-l ":" ] Mailbox ">"
 *   A-d-l        = At-domain *( "," At-domain )     (taken, dropped: App. C)
 *   Mailbox      = Local-part "@" ( Domain / address-literal )
 *   Local-part   = Dot-string / Quoted-string
 *
 * RFC 6531 3.3 adds UTF-8 to atext, qtext and sub-domain.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>
#include "mg_address.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mime_internal.h"

#define LOCAL_MAX 64
#define DOMAIN_MAX 255
#define PATH_MAX_OCTETS 256

static int is_atext(unsigned char c, int utf8)
{
    if (c >= 0x80)
        return utf8;
    return apr_isalnum(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

static int is_dot_string(const char *s, apr_size_t len, int utf8)
{
    apr_size_t i;

    if (len == 0 || s[0] == '.' || s[len - 1] == '.')
        return 0;
    for (i = 0; i < len; i++) {
        if (s[i] == '.') {
            if (s[i - 1] == '.')
                return 0;
        }
        else if (!is_atext((unsigned char)s[i], utf8)) {
            return 0;
        }
    }
    return 1;
}

/* DQUOTE *( qtextSMTP / "\" %d32-126 ) DQUOTE; plain gets what is inside. */
static int is_quoted_string(const char *s, apr_size_t len, int utf8,
                            char *plain)
{
    apr_size_t i;

    if (len < 2 || s[0] != '"' || s[len - 1] != '"')
        return 0;
    for (i = 1; i < len - 1; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '\\') {
            if (++i == len - 1)
                return 0;
            c = (unsigned char)s[i];
            if (c < 32 || c > 126)
                return 0;
        }
        else if (c == '"' || c < 32 || c == 127 || (c >= 0x80 && !utf8)) {
            return 0;
        }
        *plain++ = (char)c;
    }
    *plain = '\0';
    return 1;
}

char *mg_address_local(const char *local, apr_size_t len, int utf8,
                       apr_pool_t *p)
{
    char plain[LOCAL_MAX + 1];

    if (len == 0 || len > LOCAL_MAX)
        return NULL;
    if (is_dot_string(local, len, utf8))
        return apr_pstrmemdup(p, local, len);
    if (!is_quoted_string(local, len, utf8, plain))
        return NULL;
    /* "bob"@x and bob@x are one mailbox (RFC 5321 4.1.2): one spelling */
    if (is_dot_string(plain, strlen(plain), utf8))
        return apr_pstrdup(p, plain);
    return apr_pstrmemdup(p, local, len);
}

int mg_address_is_literal(const char *domain, apr_size_t len)
{
    char text[64];
    unsigned char addr[16];

    if (len < 3 || len >= sizeof(text) || domain[0] != '['
        || domain[len - 1] != ']')
        return 0;
    memcpy(text, domain + 1, len - 2);
    text[len - 2] = '\0';
    if (strncasecmp(text, "IPv6:", 5) == 0)
        return inet_pton(AF_INET6, text + 5, addr) == 1;
    return inet_pton(AF_INET, text, addr) == 1;
}

/* Where "<...>" ends; a '>' inside of a quoted string does not count. */
static const char *path_end(const char *s)
{
    int quoted = 0;

    for (; *s; s++) {
        if (quoted && *s == '\\' && s[1])
            s++;
        else if (*s == '"')
            quoted = !quoted;
        else if (*s == '>' && !quoted)
            return s;
    }
    return NULL;
}

/* "@one,@two:" in front of the mailbox. NULL: it is broken. */
static const char *skip_source_route(const char *s, const char *end)
{
    while (*s == '@') {
        const char *domain = ++s;

        while (s < end && *s != ',' && *s != ':')
            s++;
        if (s == end || !mg_address_labels(domain, (apr_size_t)(s - domain)))
            return NULL;
        if (*s++ == ':')
            return s;
    }
    return NULL;
}

static apr_status_t read_mailbox(mg_address_t *a, const char *s,
                                 const char *end, int utf8, apr_pool_t *p)
{
    const char *at = end;
    apr_size_t domain_len;

    while (at > s && at[-1] != '@')
        at--;
    if (at == s) {
        /* "<postmaster>" is the one mailbox without a domain (4.5.1) */
        if (end - s != 10 || strncasecmp(s, "postmaster", 10) != 0)
            return MG_EADDRESS;
        a->local = a->address = apr_pstrmemdup(p, s, 10);
        return APR_SUCCESS;
    }
    domain_len = (apr_size_t)(end - at);
    a->local = mg_address_local(s, (apr_size_t)(at - 1 - s), utf8, p);
    if (a->local == NULL || domain_len > DOMAIN_MAX)
        return MG_EADDRESS;
    if (!mg_address_is_literal(at, domain_len)
        && !mg_address_labels(at, domain_len))
        return MG_EADDRESS;
    a->domain = mg_text_lower(apr_pstrmemdup(p, at, domain_len), p);
    a->address = apr_pstrcat(p, a->local, "@", a->domain, NULL);
    return APR_SUCCESS;
}

static int is_all_ascii(const char *s, const char *end)
{
    for (; s < end; s++) {
        if ((unsigned char)*s >= 0x80)
            return 0;
    }
    return 1;
}

apr_status_t mg_address_parse_path(mg_address_t **paddress,
                                   const char **prest, const char *text,
                                   int null_ok, int utf8, apr_pool_t *p)
{
    const char *s = text, *end;
    mg_address_t *a;
    apr_status_t rv;

    *paddress = NULL;
    if (*s != '<' || (end = path_end(s)) == NULL)
        return MG_EADDRESS;
    if (end[1] != '\0' && end[1] != ' ')
        return MG_EADDRESS;
    if (end + 1 - s > PATH_MAX_OCTETS)
        return MG_EADDRESS;
    if (utf8 ? !mg_text_is_utf8(s, (apr_size_t)(end - s))
             : !is_all_ascii(s, end))
        return MG_EADDRESS;
    a = apr_pcalloc(p, sizeof(*a));
    a->as_given = apr_pstrmemdup(p, s, (apr_size_t)(end + 1 - s));
    s++;
    if (s == end) {
        if (!null_ok)
            return MG_EADDRESS;
        a->address = a->local = "";
    }
    else {
        if (*s == '@' && (s = skip_source_route(s, end)) == NULL)
            return MG_EADDRESS;
        rv = read_mailbox(a, s, end, utf8, p);
        if (rv != APR_SUCCESS)
            return rv;
    }
    for (end++; *end == ' '; end++)
        ;
    if (prest)
        *prest = end;
    *paddress = a;
    return APR_SUCCESS;
}
