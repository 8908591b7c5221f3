/* mg_address.c - mailboxes as RFC 5322 3.4 and API parameters have them.
 *
 * The list is cut at its commas here, so that each address keeps the text it
 * was given as (the log shows it); GMime then reads one address at a time, but
 * for the plain ones, which need none of it ("me@d", "Bob Lee <me@d>").
 * Where GMime finds no usable address, the innermost <...> is taken: clients
 * in the wild send "Excited User<Excited User <me@d>>".
 */
#include <apr_strings.h>
#include <idn2.h>
#include <string.h>
#include <strings.h>
#include "mg_address.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mime_internal.h"

/* how long the text of one address may be; the manual's longest is far below */
#define ADDRESS_TEXT_MAX 2048

static int is_ldh(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '-' || c >= 0x80;
}

int mg_address_labels(const char *domain, apr_size_t len)
{
    apr_size_t i, start = 0;
    int labels = 0;

    if (len == 0 || len > 253)
        return 0;
    for (i = 0; i <= len; i++) {
        if (i < len && domain[i] != '.') {
            if (!is_ldh((unsigned char)domain[i]))
                return 0;
            continue;
        }
        /* a U-label's A-label may be longer; the resolver refuses it then */
        if (i == start || i - start > 63 || domain[start] == '-'
            || domain[i - 1] == '-')
            return 0;
        labels++;
        start = i + 1;
    }
    return labels;
}

int mg_address_is_domain(const char *domain)
{
    apr_size_t len = strlen(domain);

    return mg_address_labels(domain, len) >= 2 && mg_text_is_utf8(domain, len);
}

const char *mg_address_ascii_domain(const char *domain, apr_pool_t *p)
{
    uint8_t *ascii;
    const char *c;

    for (c = domain; *c && (unsigned char)*c < 0x80; c++)
        ;
    if (*c == '\0'
        || idn2_lookup_u8((const uint8_t *)domain, &ascii,
                          IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
        return domain;
    domain = apr_pstrdup(p, (const char *)ascii);
    idn2_free(ascii);
    return domain;
}

/* A From without "@" has no domain: whose it is cannot be said. */
char *mg_address_sender(const mg_address_t *from, const char *domain,
                        apr_pool_t *p)
{
    const char *other = from->domain
                            ? mg_address_ascii_domain(from->domain, p) : "";
    const char *c;
    char *local;

    if (strcasecmp(other, mg_address_ascii_domain(domain, p)) == 0)
        return NULL;
    local = apr_pstrcat(p, from->local, "=", other, NULL);
    for (c = local; *c; c++)
        if (*c <= ' ' || *c == 0x7f || (unsigned char)*c >= 0x80
            || strchr("\"(),:;<>@[\\]", *c))
            break;
    if (*c || c - local > 64)
        local = "postmaster";
    return apr_pstrcat(p, local, "@", domain, NULL);
}

static char *trim(const char *start, const char *end, apr_pool_t *p)
{
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return apr_pstrmemdup(p, start, (apr_size_t)(end - start));
}

/* Decoded words may hide control characters: a name stays on its line. */
static const char *clean_name(const char *name, apr_pool_t *p)
{
    char *copy, *c;

    if (name == NULL || *name == '\0')
        return NULL;
    copy = apr_pstrdup(p, mg_text_clean(name, strlen(name), p));
    for (c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    }
    return *copy ? copy : NULL;
}

/* "local@domain" with both sides checked; NULL if it is none. */
static mg_address_t *address_from_spec(const char *spec, apr_pool_t *p)
{
    const char *at = strrchr(spec, '@');
    mg_address_t *a;

    if (at == NULL || mg_text_breaks_header(spec, strlen(spec))
        || !mg_text_is_utf8(spec, strlen(spec)))
        return NULL;
    a = apr_pcalloc(p, sizeof(*a));
    a->local = mg_address_local(spec, (apr_size_t)(at - spec), 1, p);
    if (a->local == NULL)
        return NULL;
    a->domain = mg_text_lower(at + 1, p);
    if (!mg_address_is_domain(a->domain)
        && !mg_address_is_literal(a->domain, strlen(a->domain)))
        return NULL;
    if (strlen(a->local) + 1 + strlen(a->domain) > 254)
        return NULL;
    a->address = apr_pstrcat(p, a->local, "@", a->domain, NULL);
    return a;
}

static int is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
           || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* Nearly all addresses are: atoms, and one blank between those of a name. What
 * is not is NULL here and GMime's. */
static mg_address_t *from_plain(const char *text, apr_pool_t *p)
{
    const char *open = strchr(text, '<'), *spec = open ? open + 1 : text, *c;
    mg_address_t *a;

    for (c = text; open && c < open; c++)
        if (!is_plain((unsigned char)*c)
            && !(*c == ' ' && c > text && (c[1] != ' ')))
            return NULL;
    for (c = spec; is_plain((unsigned char)*c) || *c == '.' || *c == '@'
                   || *c == '+'; c++)
        ;
    if (strcmp(c, open ? ">" : "") != 0 || strcasestr(spec, "xn--"))
        return NULL;
    a = address_from_spec(open ? apr_pstrmemdup(p, spec,
                                                (apr_size_t)(c - spec))
                               : spec, p);
    if (a && open > text)
        a->name = trim(text, open, p);
    return a;
}

static mg_address_t *from_gmime(const char *text, apr_pool_t *p)
{
    InternetAddressList *list;
    InternetAddress *ia;
    mg_address_t *a = NULL;

    list = internet_address_list_parse(mime_options(),
                                       mime_merge_words(text, p));
    if (list == NULL)
        return NULL;
    if (internet_address_list_length(list) == 1) {
        ia = internet_address_list_get_address(list, 0);
        if (INTERNET_ADDRESS_IS_MAILBOX(ia)) {
            InternetAddressMailbox *mailbox = INTERNET_ADDRESS_MAILBOX(ia);
            const char *spec;

            /* GMime turns A-labels into U-labels: they stay as given */
            spec = strcasestr(text, "xn--")
                       ? internet_address_mailbox_get_idn_addr(mailbox)
                       : internet_address_mailbox_get_addr(mailbox);
            if (spec)
                a = address_from_spec(spec, p);
            if (a)
                a->name = clean_name(internet_address_get_name(ia), p);
        }
    }
    g_object_unref(list);
    return a;
}

static mg_address_t *from_innermost(const char *text, apr_pool_t *p)
{
    const char *open = strrchr(text, '<'), *close, *first;
    mg_address_t *a;
    char *name;
    apr_size_t len;

    if (open == NULL || (close = strchr(open, '>')) == NULL)
        return NULL;
    a = address_from_spec(trim(open + 1, close, p), p);
    if (a == NULL)
        return NULL;
    first = strchr(text, '<');
    name = trim(text, first, p);
    len = strlen(name);
    if (len >= 2 && name[0] == '"' && name[len - 1] == '"')
        name = apr_pstrmemdup(p, name + 1, len - 2);
    a->name = clean_name(name, p);
    return a;
}

static apr_status_t parse_one(mg_address_t **paddress, const char *start,
                              const char *end, int open, apr_pool_t *p)
{
    const char *text = trim(start, end, p);
    mg_address_t *a;

    *paddress = NULL;
    if (*text == '\0')
        return APR_SUCCESS; /* "a@b,,c@d" and the end of a group */
    if (strlen(text) > ADDRESS_TEXT_MAX)
        return MG_EADDRESS;
    a = from_plain(text, p);
    /* GMime leaks memory over a comment that is never closed */
    if (a == NULL && !open)
        a = from_gmime(text, p);
    if (a == NULL)
        a = from_innermost(text, p);
    if (a == NULL)
        return MG_EADDRESS;
    a->as_given = mg_text_clean(text, strlen(text), p);
    *paddress = a;
    return APR_SUCCESS;
}

/* The end of one address: the next comma or semicolon that stands outside of
 * quotes, comments and brackets. A group's name before ':' is stepped over.
 * *popen: a quote or comment has no end. */
static const char *address_end(const char **pstart, const char *s, int *popen)
{
    int quoted = 0, comment = 0, angle = 0, literal = 0;

    for (; *s; s++) {
        if (*s == '\\' && (quoted || comment) && s[1]) {
            s++;
        }
        else if (quoted) {
            quoted = *s != '"';
        }
        else if (comment) {
            comment += (*s == '(') - (*s == ')');
        }
        else {
            switch (*s) {
            case '"': quoted = 1; break;
            case '(': comment = 1; break;
            case '<': angle++; break;
            case '>': angle -= angle > 0; break;
            case '[': literal = 1; break;
            case ']': literal = 0; break;
            case ':':
                if (!angle && !literal)
                    *pstart = s + 1;
                break;
            case ',':
            case ';':
                if (!angle) {
                    *popen = 0;
                    return s;
                }
                break;
            }
        }
    }
    *popen = quoted || comment;
    return s;
}

apr_status_t mg_address_parse_list(apr_array_header_t **plist,
                                   const char *text, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 4, sizeof(mg_address_t *));
    apr_status_t rv;
    mg_address_t *a;

    *plist = NULL;
    if (text == NULL || mg_text_breaks_header(text, strlen(text)))
        return MG_EADDRESS;
    for (;;) {
        const char *start = text, *end;
        int open;

        end = address_end(&start, text, &open);
        rv = parse_one(&a, start, end, open, p);
        if (rv != APR_SUCCESS)
            return rv;
        if (a)
            APR_ARRAY_PUSH(list, mg_address_t *) = a;
        if (*end == '\0')
            break;
        text = end + 1;
    }
    if (list->nelts == 0)
        return MG_EADDRESS;
    *plist = list;
    return APR_SUCCESS;
}

apr_status_t mg_address_parse(mg_address_t **paddress, const char *text,
                              apr_pool_t *p)
{
    apr_array_header_t *list;
    apr_status_t rv = mg_address_parse_list(&list, text, p);

    *paddress = NULL;
    if (rv != APR_SUCCESS)
        return rv;
    if (list->nelts != 1)
        return MG_EADDRESS;
    *paddress = APR_ARRAY_IDX(list, 0, mg_address_t *);
    return APR_SUCCESS;
}

int mg_address_all_in(const apr_array_header_t *list, const char *domain,
                      apr_pool_t *p)
{
    const char *ours = mg_address_ascii_domain(domain, p);
    int i;

    for (i = 0; i < list->nelts; i++) {
        const mg_address_t *a = APR_ARRAY_IDX(list, i, const mg_address_t *);

        if (a->domain == NULL
            || strcasecmp(mg_address_ascii_domain(a->domain, p), ours) != 0)
            return 0;
    }
    return list->nelts > 0;
}
