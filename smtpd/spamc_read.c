/* spamc_read.c - what spamd answers (spamc.h). */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_status.h"
#include "mg_text.h"
#include "spamc.h"

#define SHOWN_MAX 100            /* of what was said and is no answer */

typedef struct {
    const char *at, *end;
} text_t;

static apr_status_t bad(spamc_answer_t *answer, const char *why)
{
    answer->skipped = why;
    return MG_EBADINPUT;
}

/* @return 0: no whole line is there */
static int take_line(text_t *text, const char **pline, apr_pool_t *p)
{
    const char *nl = memchr(text->at, '\n', (apr_size_t)(text->end - text->at));
    const char *end = nl;

    if (!nl)
        return 0;
    if (end > text->at && end[-1] == '\r')
        end--;
    *pline = apr_pstrmemdup(p, text->at, (apr_size_t)(end - text->at));
    text->at = nl + 1;
    return 1;
}

/* Others' words, for a log line. */
static char *shown(const char *words, apr_pool_t *p)
{
    char *text = apr_pstrndup(p, words, SHOWN_MAX), *c;

    for (c = text; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    return text;
}

/* "SPAMD/1.1 0 EX_OK"; rspamd: "RSPAMD/1.3 0 EX_OK", "SPAMD/1.1 0 EX_OK" */
static apr_status_t read_status(spamc_answer_t *answer, const char *line,
                                apr_pool_t *p)
{
    const char *slash = strstr(line, "SPAMD/");
    const char *code;

    if (!slash || slash - line > 1 || (slash > line && *line != 'R'))
        return bad(answer, "what answers is no spamd");
    code = strchr(slash, ' ');
    if (!code || !apr_isdigit(code[1]))
        return bad(answer, "what answers is no spamd");
    if (code[1] != '0' || code[2] != ' ')
        return bad(answer, apr_pstrcat(p, "spamd says ", shown(code + 1, p),
                                       NULL));
    return APR_SUCCESS;
}

/* "True ; 15.1 / 5.0" */
static apr_status_t read_verdict(spamc_answer_t *answer, const char *value,
                                 apr_pool_t *p)
{
    const char *semicolon = strchr(value, ';');
    const char *from;

    if (!semicolon)
        return bad(answer, "spamd's answer has no score");
    from = semicolon + 1 + strspn(semicolon + 1, " \t");
    answer->score_text = apr_pstrmemdup(p, from, strcspn(from, " \t/"));
    if (mg_text_thousandths(&answer->score, answer->score_text) != APR_SUCCESS)
        return bad(answer, "spamd's answer has no score");
    return APR_SUCCESS;
}

static const char *field(const char *line, const char *name)
{
    apr_size_t len = strlen(name);

    if (strncasecmp(line, name, len) != 0 || line[len] != ':')
        return NULL;
    return line + len + 1 + strspn(line + len + 1, " \t");
}

/* Names of rules go into a header field: whatever else is there does not. */
static const char *clean_rules(const char *from, const char *end, apr_pool_t *p)
{
    char *rules = apr_palloc(p, (apr_size_t)(end - from) + 1), *to = rules;

    for (; from < end && to - rules < SPAMC_RULES_MAX; from++) {
        if (apr_isalnum(*from) || *from == '_' || *from == '-')
            *to++ = *from;
        else if (*from == ',' && to > rules && to[-1] != ',')
            *to++ = ',';
    }
    /* the last name may be half of one */
    while (from < end && to > rules && to[-1] != ',')
        to--;
    while (to > rules && to[-1] == ',')
        to--;
    *to = '\0';
    return rules;
}

static apr_status_t read_fields(spamc_answer_t *answer, text_t *text,
                                apr_int64_t *plen, apr_pool_t *p)
{
    const char *line, *value;
    apr_status_t rv = APR_SUCCESS;
    char *end;

    while (rv == APR_SUCCESS) {
        if (!take_line(text, &line, p))
            return APR_EAGAIN;
        if (!*line)
            return APR_SUCCESS;
        if ((value = field(line, "Spam")) != NULL)
            rv = read_verdict(answer, value, p);
        else if ((value = field(line, "Content-length")) != NULL) {
            *plen = apr_strtoi64(value, &end, 10);
            if (end == value || *plen < 0)
                return bad(answer, "spamd's answer has no length");
        }
    }
    return rv;
}

apr_status_t spamc_read(spamc_answer_t *answer, const char *bytes,
                        apr_size_t len, int eof, apr_pool_t *p)
{
    text_t text = { bytes, bytes + len };
    apr_int64_t body = -1;
    const char *line;
    apr_status_t rv;

    memset(answer, 0, sizeof(*answer));
    rv = take_line(&text, &line, p) ? read_status(answer, line, p) : APR_EAGAIN;
    if (rv == APR_SUCCESS)
        rv = read_fields(answer, &text, &body, p);
    /* rspamd 3.4, where no rule was hit, counts its own header and sends none */
    if (rv == APR_SUCCESS && eof && text.at == text.end)
        body = 0;
    if (rv == APR_SUCCESS
        && (body < 0 ? !eof : body > (apr_int64_t)(text.end - text.at)))
        rv = APR_EAGAIN;
    if (rv == APR_EAGAIN)
        return eof ? bad(answer, "spamd hung up") : rv;
    if (rv != APR_SUCCESS)
        return rv;
    if (!answer->score_text)
        return bad(answer, "spamd's answer has no score");
    answer->rules = clean_rules(text.at, body < 0 ? text.end : text.at + body,
                                p);
    return APR_SUCCESS;
}

int spamc_has_rule(const spamc_answer_t *answer, const char *rule)
{
    apr_size_t len = strlen(rule);
    const char *at = answer->rules;

    while ((at = strstr(at, rule)) != NULL) {
        if ((at == answer->rules || at[-1] == ',')
            && (at[len] == ',' || at[len] == '\0'))
            return 1;
        at += len;
    }
    return 0;
}
