/* mg_dsn_guess.c - reports that are for people only, and replies of machines.
 *
 * Exim names the recipients in X-Failed-Recipients; Postfix writes
 *
 *     <bob@x.test>: host mx.x.test[192.0.2.1] said: 550 5.1.1 no such user
 *         (in reply to RCPT TO command)
 *
 * qmail, and others after it (QSBMF, cr.yp.to/proto/qsbmf.txt), a paragraph
 * for each recipient:
 *
 *     <bob@x.test>:
 *     Sorry, no mailbox here by that name. (#5.1.1)
 *
 * So, where recipients are not named so, a paragraph of the text is looked for
 * that quotes an SMTP reply; it goes on one line, an address in it is the
 * recipient.
 */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_bounce.h"
#include "mg_dsn_private.h"
#include "mg_text.h"

#define LINE_MAX_LEN 1000
#define TEXT_MAX (32 * 1024)
#define TEXTS_READ 20         /* recipients whose words are looked for */

const char *mg_dsn_line(const char *s, apr_size_t len, apr_pool_t *p)
{
    char *line, *to;
    apr_size_t i;

    if (len > 2 * LINE_MAX_LEN)
        len = 2 * LINE_MAX_LEN;
    line = to = apr_palloc(p, len + 1);
    for (i = 0; i < len && to - line < LINE_MAX_LEN; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c <= ' ' || c == 0x7f) {
            if (to > line && to[-1] != ' ')
                *to++ = ' ';
        }
        else {
            *to++ = (char)c;
        }
    }
    while (to > line && to[-1] == ' ')
        to--;
    *to = '\0';
    return mg_text_clean(line, (apr_size_t)(to - line), p);
}

static const char *header(const mg_dsn_read_t *r, const char *name)
{
    const mg_header_t *h = mg_mime_header(r->headers, name);

    return h ? h->value : "";
}

static int has_any(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcasestr(text, *words))
            return 1;
    return 0;
}

/* --- a report? --- */

static int looks_like_report(const mg_dsn_read_t *r)
{
    static const char *const from[] = { "mailer-daemon", "postmaster@",
        "mail delivery", NULL };
    static const char *const subject[] = { "undeliver", "failure notice",
        "returned mail", "delivery status notification", "delivery fail",
        "mail delivery", "delivery has failed", "returning message",
        "warning: message", "delayed mail", "delivery problem",
        "could not be delivered", NULL };

    return has_any(header(r, "From"), from)
           && has_any(header(r, "Subject"), subject);
}

static int is_delay(const mg_dsn_read_t *r)
{
    static const char *const words[] = { "delayed", "warning", "delay)",
        NULL };

    return has_any(header(r, "Subject"), words);
}

/* An SMTP reply quoted in a line: at its start or behind a blank, and behind
 * it an enhanced code, or before it what introduces a quote. */
const char *mg_dsn_find_reply(const char *line)
{
    char enhanced[MG_ENHANCED_LEN];
    const char *c;

    for (c = line; *c; c++) {
        if (c > line && c[-1] != ' ' && c[-1] != '"')
            continue;
        if (!mg_dsn_code(c))
            continue;
        mg_bounce_enhanced(enhanced, c);
        if (*enhanced || c == line || (c > line + 1 && c[-2] == ':'))
            return c;
    }
    return NULL;
}

/* The next paragraph, on one line; NULL behind the last. */
static const char *paragraph(const char **ptext, apr_pool_t *p)
{
    const char *s = *ptext, *end, *lf;

    s += strspn(s, " \t\r\n");
    if (!*s)
        return NULL;
    for (end = s; (lf = strchr(end, '\n')) != NULL; end = lf + 1) {
        const char *next = lf + 1 + strspn(lf + 1, " \t\r");

        if (*next == '\n' || !*next)
            break;
    }
    if (!lf)
        lf = s + strlen(s);
    *ptext = lf;
    return mg_dsn_line(s, (apr_size_t)(lf - s), p);
}

const char *mg_dsn_words(mg_dsn_read_t *r, const char *recipient)
{
    const char *text = r->text ? r->text : "", *line, *at;

    if (strlen(text) > TEXT_MAX)
        text = apr_pstrndup(r->p, text, TEXT_MAX);
    while ((line = paragraph(&text, r->p)) != NULL) {
        at = strcasestr(line, recipient);
        if (!at)
            continue;
        at += strlen(recipient);
        return at + strspn(at, ">:, ");
    }
    return "";
}

/* The first address in a line, in <> or not. */
static const char *find_address(const char *line, apr_pool_t *p)
{
    const char *at = strchr(line, '@'), *begin, *end;

    if (!at)
        return NULL;
    for (begin = at; begin > line && !strchr(" <(\":;", begin[-1]);)
        begin--;
    end = at + strcspn(at, " >)\",:;");
    if (begin == at || end == at + 1 || end - begin > 320)
        return NULL;
    return apr_pstrmemdup(p, begin, (apr_size_t)(end - begin));
}

/* Words without a reply: qmail's code says what it is; of others it has to be
 * clear that the address is no good. */
static const char *with_code(const mg_dsn_read_t *r, const char *words)
{
    char enhanced[MG_ENHANCED_LEN];

    mg_bounce_enhanced(enhanced, words);
    if (*enhanced == '4' || *enhanced == '5')
        return apr_psprintf(r->p, "%c50 %s %s", *enhanced, enhanced, words);
    if (!is_delay(r)
        && mg_bounce_classify(MG_STAGE_LATER, 0, words, 1).severity
               == MG_HARD)
        return apr_pstrcat(r->p, "550 ", words, NULL);
    return words;
}

static mg_dsn_report_t *add(mg_dsn_read_t *r, const char *recipient,
                            const char *reply)
{
    mg_dsn_report_t *report;

    if (r->dsn->reports->nelts >= MG_DSN_RECIPIENTS)
        return NULL;
    report = apr_array_push(r->dsn->reports);
    memset(report, 0, sizeof(*report));
    report->recipient = recipient;
    report->text = mg_dsn_code(reply) ? reply : with_code(r, reply);
    if (mg_dsn_code(reply) && reply[3] == ':') /* Yahoo's */
        report->text = apr_pstrcat(r->p, apr_pstrndup(r->p, reply, 3),
                                   reply + 4, NULL);
    report->code = mg_dsn_code(report->text);
    report->action = is_delay(r) || mg_dsn_code(reply) / 100 == 4
                         ? MG_DSN_DELAYED : MG_DSN_FAILED;
    return report;
}

/* X-Failed-Recipients: a@x, b@y. What the text says of each, or else the one
 * reply there is. */
static int by_failed_recipients(mg_dsn_read_t *r, const char *reply)
{
    char *list = apr_pstrdup(r->p, header(r, "X-Failed-Recipients"));
    char *last = NULL, *one;
    const char *words, *own;
    int n = 0;

    for (one = apr_strtok(list, ", \t", &last); one;
         one = apr_strtok(NULL, ", \t", &last)) {
        if (!strchr(one, '@') || strlen(one) > 320)
            continue;
        words = n < TEXTS_READ ? mg_dsn_words(r, one) : "";
        own = mg_dsn_find_reply(words);
        if (!own && *words && mg_dsn_code(with_code(r, words)))
            own = words;
        add(r, mg_text_clean(one, strlen(one), r->p), own ? own : reply);
        n++;
    }
    return n > 0;
}

/* "<bob@x.test>: what was wrong": a paragraph of qmail's, on one line. Of a
 * host's reply, what the host said. */
static int by_paragraph(mg_dsn_read_t *r, const char *line)
{
    const char *end = line[0] == '<' ? strstr(line, ">: ") : NULL;
    const char *reply, *address;

    if (!end || end - line > 322 || !memchr(line, '@', (size_t)(end - line)))
        return 0;
    reply = mg_dsn_find_reply(end + 3);
    address = apr_pstrmemdup(r->p, line + 1, (apr_size_t)(end - line - 1));
    return add(r, mg_text_clean(address, strlen(address), r->p),
               reply ? reply : end + 3) != NULL;
}

static int by_paragraphs(mg_dsn_read_t *r, const char *text)
{
    const char *line;
    int n = 0;

    while ((line = paragraph(&text, r->p)) != NULL
           && strncmp(line, "---", 3) != 0)
        n += by_paragraph(r, line);
    return n > 0;
}

int mg_dsn_guess(mg_dsn_read_t *r)
{
    int failed = *header(r, "X-Failed-Recipients") != '\0';
    const char *text = r->text ? r->text : "", *line, *reply = NULL;
    const char *recipient = NULL, *subject = header(r, "Subject");

    if (!failed && !looks_like_report(r))
        return 0;
    if (strlen(text) > TEXT_MAX)
        text = apr_pstrndup(r->p, text, TEXT_MAX);
    if (!failed && by_paragraphs(r, text))
        return 1;
    while (!reply && (line = paragraph(&text, r->p)) != NULL) {
        reply = mg_dsn_find_reply(line);
        if (reply)
            recipient = find_address(line, r->p);
    }
    if (!reply) {
        reply = mg_dsn_line(subject, strlen(subject), r->p);
        recipient = find_address(reply, r->p);
    }
    if (failed && by_failed_recipients(r, reply))
        return 1;
    return add(r, recipient ? mg_text_clean(recipient, strlen(recipient),
                                            r->p) : NULL, reply) != NULL;
}

/* --- replies of machines (RFC 3834) --- */

int mg_dsn_is_auto_reply(const mg_dsn_read_t *r)
{
    static const char *const fields[] = { "X-Autoreply", "X-Autorespond",
        "X-Auto-Response-Suppress", "X-Vacation", NULL };
    static const char *const subjects[] = { "out of office", "automatic reply",
        "auto-reply", "autoreply", "auto reply", "out of the office", NULL };
    static const char *const precedences[] = { "auto_reply", "bulk", "junk",
        NULL };
    const char *submitted = header(r, "Auto-Submitted");
    int i;

    if (*submitted && strncasecmp(submitted, "no", 2) != 0)
        return 1;
    for (i = 0; fields[i]; i++)
        if (mg_mime_header(r->headers, fields[i]))
            return 1;
    return has_any(header(r, "Subject"), subjects)
           || has_any(header(r, "Precedence"), precedences);
}
