/* mg_arf_read.c - reports of spam, read (RFC 5965).
 *
 *   message/feedback-report   fields: Feedback-Type, Original-Mail-From,
 *                             Original-Rcpt-To, Removal-Recipient (3.1, 3.2)
 *   message/rfc822            the message, or text/rfc822-headers (2.e)
 *
 * Some put a whole report into another message, or the feedback-report into a
 * multipart/mixed by base64: parts are looked into wherever they are.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_arf.h"
#include "mg_dsn_private.h"
#include "mg_text.h"

#define DEPTH_MAX 8
#define PARTS_MAX 50
#define ADDRESS_MAX 320
#define BLOCKS_MAX 10         /* of fields, in a feedback-report */

/* Microsoft's, on top of what is sent back */
#define JMRP_FIELD "X-HmXmrOriginalRecipient"

typedef struct {
    mg_arf_t *arf;
    apr_pool_t *p;
    int parts;
    int has_report, has_message, has_status;
} reader_t;

/* --- what is found --- */

static void add_claim(reader_t *r, const mg_verp_claim_t *claim)
{
    apr_array_header_t *claims = r->arf->claims;
    int i;

    for (i = 0; i < claims->nelts; i++)
        if (!memcmp(&APR_ARRAY_IDX(claims, i, mg_verp_claim_t), claim,
                    sizeof(*claim)))
            return;
    if (claims->nelts < MG_ARF_CLAIMS)
        APR_ARRAY_PUSH(claims, mg_verp_claim_t) = *claim;
}

static void find_claims(reader_t *r, const apr_array_header_t *headers)
{
    mg_verp_claim_t claim;
    const char *at;
    int i;

    memset(&claim, 0, sizeof(claim));
    for (i = 0; i < headers->nelts; i++) {
        at = APR_ARRAY_IDX(headers, i, mg_header_t).raw;
        while (at && (at = mg_verp_find(&claim, at)) != NULL)
            add_claim(r, &claim);
    }
}

/* "rfc822; <bob@x>", "Bob <bob@x>" */
static void add_recipient(reader_t *r, const char *value)
{
    apr_array_header_t *list = r->arf->recipients;
    const char *end, *at = strchr(value, '@');

    if (!at || list->nelts >= MG_ARF_RECIPIENTS)
        return;
    for (end = at; *end && !strchr(" \t<>,;:\"()", *end); end++)
        ;
    while (at > value && !strchr(" \t<>,;:\"()", at[-1]))
        at--;
    if (end - at > ADDRESS_MAX || *at == '@' || end[-1] == '@')
        return;
    APR_ARRAY_PUSH(list, const char *) =
        mg_text_clean(apr_pstrmemdup(r->p, at, (apr_size_t)(end - at)),
                      (apr_size_t)(end - at), r->p);
}

/* All fields of these names. */
static void add_recipients(reader_t *r, const apr_array_header_t *headers,
                           const char *const *names)
{
    int i;

    for (; *names; names++)
        for (i = 0; i < headers->nelts; i++) {
            const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);

            if (strcasecmp(h->name, *names) == 0)
                add_recipient(r, h->value);
        }
}

/* --- parts --- */

static mg_arf_kind_t kind_of(const char *type)
{
    static const struct {
        const char *type;
        mg_arf_kind_t kind;
    } kinds[] = {
        { "not-spam", MG_ARF_NOT_SPAM }, { "opt-out", MG_ARF_OPT_OUT },
        { "opt-out-list", MG_ARF_OPT_OUT }, { "unsubscribe", MG_ARF_OPT_OUT },
        { "auth-failure", MG_ARF_OTHER }, { "dmarc", MG_ARF_OTHER },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(type, kinds[i].type) == 0)
            return kinds[i].kind;
    return MG_ARF_COMPLAINT; /* abuse, and what nobody has heard of */
}

static void take_fields(reader_t *r, const apr_array_header_t *headers)
{
    static const char *const names[] = { "Original-Rcpt-To",
        "Removal-Recipient", "Original-Recipient", NULL };
    const mg_header_t *h = mg_mime_header(headers, "Feedback-Type");
    apr_size_t len;

    if (h && !r->has_report) {
        len = strcspn(h->value, " \t;(");
        r->arf->type = mg_text_lower(
            mg_dsn_line(h->value, len < 40 ? len : 40, r->p), r->p);
        r->arf->kind = kind_of(r->arf->type);
        r->has_report = 1;
    }
    h = mg_mime_header(headers, "User-Agent");
    if (h && !*r->arf->reporter)
        r->arf->reporter = mg_dsn_line(h->value, strlen(h->value), r->p);
    add_recipients(r, headers, names);
    find_claims(r, headers);
}

static void read_report(reader_t *r, const char *s, apr_size_t len)
{
    const char *end = s + len;
    apr_array_header_t *headers;
    apr_size_t used;
    int blocks;

    for (blocks = 0; s < end && blocks < BLOCKS_MAX; blocks++) {
        while (s < end && (*s == '\r' || *s == '\n'))
            s++;
        if (s == end
            || mg_mime_headers(&headers, &used, s, (apr_size_t)(end - s), r->p)
                   != APR_SUCCESS || headers->nelts == 0 || used == 0)
            return;
        take_fields(r, headers);
        s += used;
    }
}

/* To says nothing: it names who else got the copy. */
static void take_message(reader_t *r, const apr_array_header_t *headers)
{
    static const char *const names[] = { JMRP_FIELD, "Delivered-To",
        "X-Original-To", "Envelope-To", "X-Envelope-To", "X-Rcpt-To", NULL };

    r->has_message = 1;
    add_recipients(r, headers, names);
    find_claims(r, headers);
}

static void look_into(reader_t *r, const char *bytes, apr_size_t len,
                      int depth, int is_returned);

static void look_into_parts(reader_t *r, const mime_entity_t *e, int depth)
{
    const char *part, *next, *stop, *start = e->body;
    const char *end = start + e->body_len;
    int closed = 0;

    if (!mime_find_boundary(start, end, start, e->boundary, &part, &closed))
        return;
    while (!closed && part < end && r->parts < PARTS_MAX) {
        stop = mime_find_boundary(part, end, start, e->boundary, &next,
                                  &closed);
        look_into(r, part, (apr_size_t)((stop ? stop : end) - part),
                  depth + 1, 0);
        if (!stop)
            return;
        part = next;
    }
}

/* is_returned: it is the message, not a part of the report. Only a report is
 * looked into then: some are sent on in another message. */
static void look_into(reader_t *r, const char *bytes, apr_size_t len,
                      int depth, int is_returned)
{
    mime_entity_t e;

    if (r->parts++ >= PARTS_MAX)
        return;
    mime_entity_read(&e, bytes, len, "text/plain", r->p);
    if (is_returned || (depth == 0 && mg_mime_header(e.headers, JMRP_FIELD)))
        take_message(r, e.headers);
    if (strcmp(e.type, "message") == 0
        && strcmp(e.subtype, "delivery-status") == 0)
        r->has_status = 1;
    else if (strcmp(e.type, "message") == 0
             && strcmp(e.subtype, "feedback-report") == 0) {
        bytes = mime_entity_decode(&len, &e, r->p);
        read_report(r, bytes, len);
    }
    else if (depth < DEPTH_MAX && !is_returned && mime_entity_is_message(&e)) {
        bytes = mime_entity_decode(&len, &e, r->p);
        if (!r->arf->original) {
            r->arf->original = bytes;
            r->arf->original_len = len;
        }
        look_into(r, bytes, len, depth + 1, 1);
    }
    else if (strcmp(e.type, "multipart") == 0 && e.boundary && *e.boundary
             && depth < DEPTH_MAX
             && (!is_returned || strcmp(e.subtype, "report") == 0))
        look_into_parts(r, &e, depth); /* what a message of ours has attached
                                        * is nobody's complaint */
}

void mg_arf_read(mg_arf_t *arf, const char *bytes, apr_size_t len,
                 apr_pool_t *p)
{
    reader_t r;

    memset(&r, 0, sizeof(r));
    memset(arf, 0, sizeof(*arf));
    arf->type = arf->reporter = "";
    arf->claims = apr_array_make(p, 2, sizeof(mg_verp_claim_t));
    arf->recipients = apr_array_make(p, 2, sizeof(const char *));
    r.arf = arf;
    r.p = p;
    look_into(&r, bytes, len > MG_ARF_READ_MAX ? MG_ARF_READ_MAX : len, 0, 0);
    if (r.has_report || !r.has_message || r.has_status)
        return;
    arf->kind = MG_ARF_COMPLAINT;
    arf->is_bare = 1;
}
