/* mg_dsn_write.c - see mg_dsn_write.h. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_bounce.h"
#include "mg_dsn_request.h"
#include "mg_dsn_write.h"
#include "mg_id.h"
#include "mg_text.h"
#include "mg_time.h"

#define HEAD_MAX (64 * 1024)
#define REPLY_MAX 900  /* RFC 5322 2.1.1: 998 octets to a line */

static const struct {
    const char *action, *status, *subject, *words, *then;
} kinds[] = {
    [MG_DSN_SAYS_FAILED] = {
        "failed", "5.0.0", "Undelivered Mail Returned to Sender",
        "Your message could not be delivered to",
        "It will not be tried again.\r\n\r\n" },
    [MG_DSN_SAYS_DELAYED] = {
        "delayed", "4.0.0", "Delayed Mail (still being retried)",
        "Your message could not be delivered yet to",
        "You need not send it again: we go on trying.\r\n\r\n" },
    [MG_DSN_SAYS_DELIVERED] = {
        "delivered", "2.0.0", "Successful Mail Delivery Report",
        "Your message was delivered to", "" },
    [MG_DSN_SAYS_RELAYED] = {
        "relayed", "2.0.0", "Successful Mail Delivery Report",
        "Your message was handed on to the mail server of",
        "That server may not tell you when it delivers it.\r\n\r\n" },
};

const char *mg_dsn_subject(mg_dsn_says_t says)
{
    return kinds[says].subject;
}

/* What goes into a field: one line, no control characters. */
static const char *one_line(const char *s, apr_pool_t *p)
{
    char *line = apr_pstrdup(p, mg_text_clean(s, strlen(s), p)), *c;

    for (c = line; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return line;
}

static int is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s > 127)
            return 0;
    return 1;
}

/* "smtp; 550 ...": digits that no server said (no connection, expired) are
 * ours, and no SMTP. */
static const char *diagnostic(const mg_dsn_write_t *d, apr_pool_t *p)
{
    const char *reply;

    if (!d->reply || !*d->reply)
        return "";
    reply = one_line(d->reply, p);
    if (strlen(reply) > REPLY_MAX)
        reply = mg_text_clean(reply, REPLY_MAX, p);
    return apr_pstrcat(p, "Diagnostic-Code: ",
                       d->mx ? "smtp; " : "x-mailgun; ", reply, "\r\n", NULL);
}

static const char *status_of(const mg_dsn_write_t *d, apr_pool_t *p)
{
    char enhanced[MG_ENHANCED_LEN];
    const char *unsaid = kinds[d->says].status;

    mg_bounce_enhanced(enhanced, d->reply);
    if (!*enhanced)
        return unsaid;
    /* given up for good, though the last answer was a temporary one: what was
     * wrong stays, the class is the action's (RFC 3464 2.3.4) */
    return apr_psprintf(p, "%c%s", unsaid[0], enhanced + 1);
}

static const char *decoded(const char *xtext, apr_pool_t *p)
{
    char *text;

    if (mg_xtext_decode(&text, xtext, strlen(xtext), p) != APR_SUCCESS)
        return xtext;
    return one_line(text, p);
}

static const char *status_part(const mg_dsn_write_t *d, apr_pool_t *p)
{
    const char *type = is_ascii(d->recipient) ? "rfc822; " : "utf-8; ";
    const char *semicolon = d->orcpt ? strchr(d->orcpt, ';') : NULL;

    return apr_pstrcat(
        p, d->envid ? "Original-Envelope-Id: " : "",
        d->envid ? decoded(d->envid, p) : "", d->envid ? "\r\n" : "",
        "Reporting-MTA: dns; ", d->hostname, "\r\nArrival-Date: ",
        mg_time_rfc5322(d->arrived, p), "\r\n\r\n",
        semicolon ? "Original-Recipient: " : "",
        semicolon ? apr_pstrmemdup(p, d->orcpt,
                                   (apr_size_t)(semicolon - d->orcpt)) : "",
        semicolon ? "; " : "", semicolon ? decoded(semicolon + 1, p) : "",
        semicolon ? "\r\n" : "", "Final-Recipient: ", type,
        one_line(d->recipient, p), "\r\nAction: ", kinds[d->says].action,
        "\r\nStatus: ", status_of(d, p), "\r\n",
        d->mx ? "Remote-MTA: dns; " : "", d->mx ? one_line(d->mx, p) : "",
        d->mx ? "\r\n" : "", diagnostic(d, p),
        d->says == MG_DSN_SAYS_DELAYED && d->until
            ? apr_pstrcat(p, "Will-Retry-Until: ",
                          mg_time_rfc5322(d->until, p), "\r\n", NULL) : "",
        NULL);
}

/* The words are at most 78 to a line. */
static const char *wrapped(const char *text, apr_pool_t *p)
{
    char *out = apr_palloc(p, strlen(text) * 3 + 1), *o = out;
    apr_size_t column = 4;
    const char *word;

    for (word = text; *word;) {
        apr_size_t len = strcspn(word, " ");

        if (column + len > 74 && column > 4) {
            memcpy(o, "\r\n    ", 6);
            o += 6;
            column = 4;
        }
        memcpy(o, word, len);
        o += len;
        column += len;
        for (word += len; *word == ' '; word++)
            ;
        if (*word) {
            *o++ = ' ';
            column++;
        }
    }
    *o = '\0';
    return out;
}

static const char *words_part(const mg_dsn_write_t *d, apr_pool_t *p)
{
    const char *reply = d->reply ? one_line(d->reply, p) : "";

    if (strlen(reply) > 800)
        reply = mg_text_clean(reply, 800, p);
    return apr_pstrcat(
        p, "This is the mail system at ", d->hostname, ".\r\n\r\n",
        kinds[d->says].words, "\r\n\r\n    <", one_line(d->recipient, p),
        ">\r\n\r\n", kinds[d->says].then,
        !*reply ? "" : d->mx ? "The answer of " : "The reason:",
        *reply && d->mx ? one_line(d->mx, p) : "",
        *reply && d->mx ? ":" : "", *reply ? "\r\n\r\n    " : "",
        *reply ? wrapped(reply, p) : "", *reply ? "\r\n" : "", NULL);
}

/* The header of the message, with its last line end. */
static apr_size_t head_len(const char *s, apr_size_t len)
{
    const char *end = memmem(s, len, "\r\n\r\n", 4);
    apr_size_t n = end ? (apr_size_t)(end - s) + 2 : len;

    if (n <= HEAD_MAX)
        return n;
    for (n = HEAD_MAX; n > 0 && s[n - 1] != '\n'; n--)
        ;
    return n;
}

static char *free_boundary(const mg_dsn_write_t *d, apr_pool_t *p)
{
    char *boundary;

    do
        boundary = apr_pstrcat(p, "report-", mg_id_hex24(p), NULL);
    while (memmem(d->original, d->original_len, boundary, strlen(boundary)));
    return boundary;
}

static const char *head(const mg_dsn_write_t *d, const char *boundary,
                        apr_pool_t *p)
{
    return apr_pstrcat(
        p, "From: Mail Delivery System <MAILER-DAEMON@", d->hostname,
        ">\r\nTo: <", one_line(d->to, p), ">\r\nSubject: ",
        kinds[d->says].subject, "\r\nDate: ", mg_time_rfc5322(d->now, p),
        "\r\nMessage-Id: <", d->message_id,
        ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/report; report-type=delivery-status;\r\n"
        "\tboundary=\"", boundary, "\"\r\n\r\n", NULL);
}

char *mg_dsn_write(apr_size_t *plen, const mg_dsn_write_t *d, apr_pool_t *p)
{
    const char *boundary = free_boundary(d, p);
    const char *status = status_part(d, p), *words = words_part(d, p);
    int whole = d->whole && d->original_len <= MG_DSN_FULL_MAX;
    apr_size_t n = whole ? d->original_len
                         : head_len(d->original, d->original_len);
    char *front, *all, *end;

    front = apr_pstrcat(
        p, head(d, boundary, p), "--", boundary,
        "\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n", words, "\r\n--", boundary,
        "\r\nContent-Type: message/",
        is_ascii(status) ? "delivery-status\r\n\r\n"
                         : "global-delivery-status\r\n"
                           "Content-Transfer-Encoding: 8bit\r\n\r\n",
        status, "\r\n--", boundary, "\r\nContent-Type: ",
        whole ? "message/rfc822" : "text/rfc822-headers",
        "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", NULL);
    end = apr_pstrcat(p, "\r\n--", boundary, "--\r\n", NULL);
    *plen = strlen(front) + n + strlen(end);
    all = apr_palloc(p, *plen + 1);
    memcpy(all, front, strlen(front));
    memcpy(all + strlen(front), d->original, n);
    memcpy(all + strlen(front) + n, end, strlen(end) + 1);
    return all;
}
