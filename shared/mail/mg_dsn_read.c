/* mg_dsn_read.c - reports of RFC 3464, in a multipart/report of RFC 6522.
 *
 *   message/delivery-status   fields of the message, an empty line, then a
 *                             block of fields for each recipient (2.1)
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_bounce.h"
#include "mg_dsn_private.h"
#include "mg_dsn_request.h"
#include "mg_text.h"

#define DEPTH_MAX 8
#define PARTS_MAX 50
#define ADDRESS_MAX 320
#define TEXTS_READ 20         /* recipients whose words are looked for */

/* --- fields --- */

static const char *field(const apr_array_header_t *headers, const char *name)
{
    const mg_header_t *h = mg_mime_header(headers, name);

    return h ? h->value : "";
}

/* "rfc822; <bob@x>" as bob@x; NULL if it is no address. */
static const char *address_of(const char *value, int is_xtext, apr_pool_t *p)
{
    const char *semicolon = strchr(value, ';');
    char *address, *end;

    if (semicolon)
        value = semicolon + 1;
    while (*value == ' ' || *value == '\t' || *value == '<')
        value++;
    address = apr_pstrndup(p, value, ADDRESS_MAX + 1);
    end = address + strcspn(address, " \t>");
    *end = '\0';
    if (is_xtext && strchr(address, '+')) {
        char *text;

        /* few servers decode it for the report, most do: what is no xtext
         * stays as it is */
        if (mg_xtext_decode(&text, address, strlen(address), p)
                == APR_SUCCESS && strchr(text, '@'))
            address = text;
    }
    if (strlen(address) > ADDRESS_MAX || !strchr(address, '@'))
        return NULL;
    return mg_text_clean(address, strlen(address), p);
}

/* "dns; mx.x.test (192.0.2.1, the server)" */
static const char *host_of(const char *value, apr_pool_t *p)
{
    const char *semicolon = strchr(value, ';');
    apr_size_t len;

    if (semicolon)
        value = semicolon + 1;
    value += strspn(value, " \t");
    len = strcspn(value, " \t");
    if (len == 0 || len > 255)
        return NULL;
    return mg_text_clean(apr_pstrmemdup(p, value, len), len, p);
}

int mg_dsn_code(const char *text)
{
    if ((text[0] == '4' || text[0] == '5') && apr_isdigit(text[1])
        && apr_isdigit(text[2])
        && (text[3] == ' ' || text[3] == '-' || text[3] == ':'
            || text[3] == '\0'))
        return (int)apr_strtoi64(text, NULL, 10);
    return 0;
}

/* Diagnostic-Code says "smtp; 550 5.1.1 no such user"; where it does not, the
 * status stands for it. */
static void set_words(mg_dsn_report_t *r, const char *status,
                      const char *diagnostic, apr_pool_t *p)
{
    char enhanced[MG_ENHANCED_LEN];
    const char *words = strchr(diagnostic, ';');
    int class;

    words = words ? words + 1 : diagnostic;
    words += strspn(words, " \t");
    mg_bounce_enhanced(enhanced, status);
    class = enhanced[0] == '4' || enhanced[0] == '5' ? enhanced[0] - '0' : 0;
    r->code = mg_dsn_code(words);
    if (r->code && r->code / 100 == class) {
        char quoted[MG_ENHANCED_LEN];

        mg_bounce_enhanced(quoted, words);
        if (!*quoted && strlen(words) > 4)
            words = apr_pstrcat(p, apr_pstrndup(p, words, 3), " ", enhanced,
                                " ", words + 4 + strspn(words + 4, " "),
                                NULL);
    }
    else if (class) {
        r->code = class * 100 + 50;
        words = apr_psprintf(p, "%d %s %s", r->code, enhanced, words);
    }
    r->text = mg_dsn_line(words, strlen(words), p);
}

static mg_dsn_action_t action_of(const char *word, const char *status)
{
    static const char *const well[] = { "delivered", "relayed", "expanded",
        NULL };
    int i;

    if (strncasecmp(word, "fail", 4) == 0)
        return MG_DSN_FAILED;
    if (strncasecmp(word, "delayed", 7) == 0)
        return MG_DSN_DELAYED;
    for (i = 0; well[i]; i++)
        if (strncasecmp(word, well[i], strlen(well[i])) == 0)
            return MG_DSN_WELL;
    return *status == '5' ? MG_DSN_FAILED
           : *status == '4' ? MG_DSN_DELAYED : MG_DSN_WELL;
}

static void add_recipient(mg_dsn_t *dsn, const apr_array_header_t *headers,
                          const char *reporter, apr_pool_t *p)
{
    const char *status = field(headers, "Status");
    mg_dsn_report_t *r;

    if (!mg_mime_header(headers, "Final-Recipient")
        && !mg_mime_header(headers, "Original-Recipient")
        && !mg_mime_header(headers, "Action"))
        return;
    if (dsn->reports->nelts >= MG_DSN_RECIPIENTS)
        return;
    r = apr_array_push(dsn->reports);
    memset(r, 0, sizeof(*r));
    r->action = action_of(field(headers, "Action"), status);
    r->original = address_of(field(headers, "Original-Recipient"), 1, p);
    r->recipient = address_of(field(headers, "Final-Recipient"), 0, p);
    r->mx = host_of(field(headers, "Remote-MTA"), p);
    if (!r->mx)
        r->mx = reporter;
    set_words(r, status, field(headers, "Diagnostic-Code"), p);
}

/* Exim gives the reason of a failure of its own in its text alone, OpenSMTPD
 * all replies. */
static void add_missing_words(mg_dsn_read_t *r)
{
    char enhanced[MG_ENHANCED_LEN];
    int i;

    for (i = 0; i < r->dsn->reports->nelts && i < TEXTS_READ; i++) {
        mg_dsn_report_t *report = &APR_ARRAY_IDX(r->dsn->reports, i,
                                                 mg_dsn_report_t);
        const char *words, *reply;

        mg_bounce_enhanced(enhanced, report->text);
        if (!*enhanced || strlen(report->text) > 4 + strlen(enhanced)
            || !report->recipient)
            continue;
        words = mg_dsn_words(r, report->recipient);
        reply = mg_dsn_find_reply(words);
        if (reply && strcmp(enhanced + 1, ".0.0") == 0
            && reply[0] == enhanced[0]) {
            report->code = mg_dsn_code(reply);
            report->text = reply;
        }
        else if (*words)
            report->text = apr_pstrcat(r->p, report->text, " ", words, NULL);
    }
}

/* --- the part --- */

static void read_status(mg_dsn_t *dsn, const char *s, apr_size_t len,
                        apr_pool_t *p)
{
    const char *end = s + len, *reporter = NULL;
    apr_array_header_t *headers;
    apr_size_t used;
    const char *lf;

    while (s < end && dsn->reports->nelts < MG_DSN_RECIPIENTS) {
        if (*s == '\r' || *s == '\n') {
            s++;
            continue;
        }
        if (mg_mime_headers(&headers, &used, s, (apr_size_t)(end - s), p)
                != APR_SUCCESS)
            return;
        if (headers->nelts == 0) {
            lf = memchr(s, '\n', (apr_size_t)(end - s)); /* no field */
            if (!lf)
                return;
            s = lf + 1;
            continue;
        }
        if (!reporter)
            reporter = host_of(field(headers, "Reporting-MTA"), p);
        add_recipient(dsn, headers, reporter, p);
        s += used > 0 ? used : 1;
    }
}

/* Looks for the part, and keeps the first text, for people. */
static void look_into(mg_dsn_read_t *r, const char *bytes, apr_size_t len,
                      int depth)
{
    const char *part, *next, *stop, *start, *end;
    mime_entity_t e;
    int closed = 0;

    if (r->parts++ >= PARTS_MAX)
        return;
    mime_entity_read(&e, bytes, len, "text/plain", r->p);
    if (depth == 0)
        r->headers = e.headers;
    if (strcmp(e.type, "message") == 0
        && (strcmp(e.subtype, "delivery-status") == 0
            || strcmp(e.subtype, "global-delivery-status") == 0)) {
        bytes = mime_entity_decode(&len, &e, r->p);
        read_status(r->dsn, bytes, len, r->p);
        return;
    }
    if (strcmp(e.type, "message") == 0
        && strcmp(e.subtype, "disposition-notification") == 0) {
        r->is_receipt = 1;
        return;
    }
    if (mime_entity_is_message(&e)) {
        if (!r->dsn->original)
            r->dsn->original = mime_entity_decode(&r->dsn->original_len, &e,
                                                  r->p);
        return;
    }
    if (strcmp(e.type, "text") == 0 && !r->text) {
        bytes = mime_entity_decode(&len, &e, r->p);
        r->text = mime_to_utf8(e.charset, bytes, len, r->p);
        return;
    }
    if (strcmp(e.type, "multipart") != 0 || !e.boundary || !*e.boundary
        || depth >= DEPTH_MAX)
        return;
    start = e.body;
    end = start + e.body_len;
    if (!mime_find_boundary(start, end, start, e.boundary, &part, &closed))
        return;
    while (!closed && part < end && r->parts < PARTS_MAX) {
        stop = mime_find_boundary(part, end, start, e.boundary, &next,
                                  &closed);
        look_into(r, part, (apr_size_t)((stop ? stop : end) - part),
                  depth + 1);
        if (!stop)
            return;
        part = next;
    }
}

void mg_dsn_read(mg_dsn_t *dsn, const char *bytes, apr_size_t len,
                 apr_pool_t *p)
{
    mg_dsn_read_t r;

    memset(&r, 0, sizeof(r));
    memset(dsn, 0, sizeof(*dsn));
    dsn->reports = apr_array_make(p, 1, sizeof(mg_dsn_report_t));
    r.dsn = dsn;
    r.p = p;
    if (len > MG_DSN_READ_MAX)
        len = MG_DSN_READ_MAX;
    look_into(&r, bytes, len, 0);
    if (dsn->reports->nelts > 0) {
        dsn->kind = MG_DSN_REPORT;
        add_missing_words(&r);
    }
    else if (mg_dsn_guess(&r))
        dsn->kind = MG_DSN_GUESS;
    else if (r.is_receipt || mg_dsn_is_auto_reply(&r))
        dsn->kind = MG_DSN_AUTO_REPLY;
}
