/* mime_field.c - header fields as they are written, by GMime.
 *
 * Lines are folded near 76 octets and never pass 998 (RFC 5322 2.1.1). What is
 * not printable ASCII becomes encoded words (RFC 2047), parameters follow RFC
 * 2231. GMime does all that, but for what it gets wrong: its encoded words pass
 * 75 octets in long runs of wide characters; a text that looks like an encoded
 * word it takes for one; and a word longer than a line, such as the URL of a
 * List-Unsubscribe, it encodes, or folds in the middle.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_json.h"
#include "mg_text.h"
#include "mime_internal.h"

#define LINE 76
#define LONG_WORD 860   /* of 998, behind a name of 128: it is encoded */
#define WORD_OCTETS 45  /* base64 of them and "=?utf-8?b?" "?=": 72 */
#define ENCODED_WORD_MAX 75

/* --- words --- */

/* Characters of at most WORD_OCTETS octets per word, base64. */
static char *as_encoded_words(const char *s, apr_pool_t *p)
{
    apr_size_t len = strlen(s), n;
    char *out = apr_palloc(p, (len / (WORD_OCTETS - 3) + 1) * 80), *o = out;

    for (; len; s += n, len -= n) {
        n = len < WORD_OCTETS ? len : WORD_OCTETS;
        while (n < len && n > 1 && ((unsigned char)s[n] & 0xC0) == 0x80)
            n--;
        if (o > out)
            *o++ = ' ';
        memcpy(o, "=?utf-8?b?", 10);
        o += 10 + mime_base64(o + 10, s, n);
        memcpy(o, "?=", 2);
        o += 2;
    }
    *o = '\0';
    return out;
}

/* The longest run without a blank, and whether all is printable ASCII. */
static apr_size_t longest_word(const char *s, int *pascii)
{
    apr_size_t word = 0, longest = 0;

    *pascii = 1;
    for (; *s; s++) {
        if (((unsigned char)*s < 0x20 && *s != '\t') || *s >= 0x7f
            || (unsigned char)*s >= 0x80)
            *pascii = 0;
        word = *s == ' ' || *s == '\t' ? 0 : word + 1;
        if (word > longest)
            longest = word;
    }
    return longest;
}

/* Is what GMime made of a text right? */
static int is_short_enough(const char *encoded)
{
    int ascii;

    return longest_word(encoded, &ascii) <= ENCODED_WORD_MAX;
}

static const char *encode_text(const char *s, apr_pool_t *p)
{
    const char *out;
    char *encoded;
    int ascii;

    if (strstr(s, "=?") || longest_word(s, &ascii) > LONG_WORD)
        return as_encoded_words(s, p);
    if (ascii)
        return s;
    encoded = g_mime_utils_header_encode_text(mime_format(), s, "utf-8");
    out = is_short_enough(encoded) ? apr_pstrdup(p, encoded)
                                   : as_encoded_words(s, p);
    g_free(encoded);
    return out;
}

/* What GMime is to encode when it writes the address: the name, or what it
 * leaves alone. */
static const char *name_to_encode(const char *s, apr_pool_t *p)
{
    apr_size_t longest;
    char *encoded;
    int ascii;

    longest = longest_word(s, &ascii);
    if (strstr(s, "=?") || longest > ENCODED_WORD_MAX - 12)
        return as_encoded_words(s, p);
    if (ascii)
        return s;
    encoded = g_mime_utils_header_encode_phrase(mime_format(), s, "utf-8");
    if (!is_short_enough(encoded))
        s = as_encoded_words(s, p);
    g_free(encoded);
    return s;
}

/* --- fields --- */

/* Valid UTF-8 without blanks around it. */
static const char *clean_value(const char *value, apr_pool_t *p)
{
    apr_size_t len;

    value += strspn(value, " \t");
    for (len = strlen(value); len; len--)
        if (value[len - 1] != ' ' && value[len - 1] != '\t')
            break;
    return mg_text_clean(apr_pstrmemdup(p, value, len), len, p);
}

/* GMime folds with LF, and ends a field as the format says. */
static void put_folded(mime_sink_t *sink, const char *s)
{
    const char *end;

    for (; (end = strchr(s, '\n')) != NULL; s = end + 1) {
        mime_put(sink, s, (apr_size_t)(end - s)
                              - (end > s && end[-1] == '\r'));
        mime_put(sink, "\r\n", 2);
    }
    mime_puts(sink, s);
}

/* Words with the blanks before them, so that unfolding gives back exactly what
 * was there. */
void mime_put_field_raw(mime_sink_t *sink, const char *name,
                        const char *value)
{
    apr_size_t col = strlen(name) + 1, n;
    const char *s;

    mime_puts(sink, name);
    mime_puts(sink, *value ? ": " : ":");
    for (s = value; *s; s += n) {
        n = strspn(s, " \t");
        n += strcspn(s + n, " \t");
        if (s > value && col + n > LINE && (*s == ' ' || *s == '\t')) {
            mime_puts(sink, "\r\n");
            col = 0;
        }
        mime_put(sink, s, n);
        col += n;
    }
    mime_puts(sink, "\r\n");
}

void mime_put_field(mime_sink_t *sink, const char *name, const char *value)
{
    mime_put_field_raw(sink, name,
                       encode_text(clean_value(value, sink->p), sink->p));
}

void mime_put_plain(mime_sink_t *sink, const char *name, const char *value)
{
    mime_puts(sink, name);
    mime_puts(sink, ": ");
    mime_puts(sink, value);
    mime_puts(sink, "\r\n");
}

/* A local part that values were filled into may be anything. */
static const char *local_of(const char *local, apr_pool_t *p)
{
    char *quoted, *o;

    if (mg_address_local(local, strlen(local), 1, p))
        return local;
    o = quoted = apr_palloc(p, 2 * strlen(local) + 3);
    *o++ = '"';
    for (; *local; local++) {
        if (*local == '"' || *local == '\\')
            *o++ = '\\';
        *o++ = *local;
    }
    *o++ = '"';
    *o = '\0';
    return quoted;
}

/* In the header a domain stands as its A-labels: not every MTA on the way
 * speaks SMTPUTF8. A local part that is not ASCII has no such form. */
static InternetAddress *address_of(const mg_address_t *a, apr_pool_t *p)
{
    const char *spec = a->address, *domain = a->domain;
    InternetAddress *address;

    if (domain) {
        domain = mg_address_ascii_domain(domain, p);
        spec = apr_pstrcat(p, local_of(a->local, p), "@", domain, NULL);
    }
    address = internet_address_mailbox_new(
        a->name ? name_to_encode(a->name, p) : NULL, spec);
    internet_address_set_charset(address, "utf-8");
    return address;
}

void mime_put_addresses(mime_sink_t *sink, const char *name,
                        const apr_array_header_t *list)
{
    InternetAddressList *addresses = internet_address_list_new();
    GString *field = g_string_new(name);
    int i;

    for (i = 0; i < list->nelts; i++) {
        InternetAddress *a = address_of(
            APR_ARRAY_IDX(list, i, const mg_address_t *), sink->p);

        internet_address_list_add(addresses, a);
        g_object_unref(a);
    }
    g_string_append(field, ": ");
    internet_address_list_encode(addresses, mime_format(), field);
    put_folded(sink, field->str);
    g_string_free(field, TRUE);
    g_object_unref(addresses);
}

void mime_put_any(mime_sink_t *sink, const char *name, const char *value)
{
    static const char *const address_fields[] = {
        "From", "To", "Cc", "Reply-To", "Sender", "Resent-From", "Resent-To",
        "Resent-Cc", "Resent-Sender", NULL
    };
    apr_array_header_t *list;
    int i;

    for (i = 0; address_fields[i]; i++) {
        if (strcasecmp(name, address_fields[i]) == 0
            && mg_address_parse_list(&list, value, sink->p) == APR_SUCCESS) {
            mime_put_addresses(sink, name, list);
            return;
        }
    }
    mime_put_field(sink, name, value);
}

void mime_put_json(mime_sink_t *sink, const char *name, const char *json)
{
    json_t *parsed = mg_json_parse(json, strlen(json), NULL, sink->p);

    /* its blanks are places to fold */
    mime_put_field(sink, name, parsed ? mg_json_ascii(parsed, sink->p) : json);
}

void mime_put_param(mime_sink_t *sink, const char *name, const char *value)
{
    GMimeParamList *list = g_mime_param_list_new();
    GString *text = g_string_new(NULL);

    g_mime_param_list_set_parameter(list, name,
                                    mg_text_clean(value, strlen(value),
                                                  sink->p));
    g_mime_param_list_encode(list, mime_format(), FALSE, text);
    mime_put(sink, text->str, text->len);
    g_string_free(text, TRUE);
    g_object_unref(list);
}
