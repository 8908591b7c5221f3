/* mta_hello.c - greeting, EHLO and what the server offers, HELO (RFC 5321
 * 3.1, 3.2, 4.1.1.1). */
#include <string.h>
#include <strings.h>

#include "mta_client_private.h"

void mta_on_greeting_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) == MTA_GOOD)
        mta_enter(c, S_HELLO);
    else
        mta_end(c, MTA_END_REFUSED, &c->reply);
}

void mta_say_hello(mta_client_t *c)
{
    c->caps = 0;
    c->max_size = 0;
    conn_printf(c->conn, "%s %s\r\n",
                c->protocol == MTA_LMTP ? "LHLO" : "EHLO", c->hello);
}

static int is_word(const char *s, apr_size_t len, const char *word)
{
    apr_size_t n = strlen(word);

    return len >= n && strncasecmp(s, word, n) == 0
           && (len == n || s[n] == ' ');
}

static const struct {
    const char *word;
    int cap;
} capabilities[] = {
    { "PIPELINING", CAP_PIPELINING }, /* RFC 2920 */
    { "8BITMIME", CAP_8BITMIME },     /* RFC 6152 */
    { "SMTPUTF8", CAP_SMTPUTF8 },     /* RFC 6531 */
    { "STARTTLS", CAP_STARTTLS },     /* RFC 3207 */
    { "CHUNKING", CAP_CHUNKING },     /* RFC 3030 */
    { "DSN", CAP_DSN },               /* RFC 3461 */
    { "SIZE", CAP_SIZE },             /* RFC 1870 */
};

/* size-value = *20digit; without one the limit is not told */
static apr_int64_t size_value(const char *s, apr_size_t len)
{
    apr_int64_t n = 0;
    apr_size_t i;

    for (i = 0; i < len && s[i] >= '0' && s[i] <= '9'; i++) {
        if (n > APR_INT64_C(1) << 50)
            break;
        n = n * 10 + (s[i] - '0');
    }
    return n;
}

/* ehlo-line = ehlo-keyword *( SP ehlo-param ) */
void mta_learn_capability(mta_client_t *c, const char *s, apr_size_t len)
{
    apr_size_t i;

    while (len > 0 && s[len - 1] == ' ')
        len--;
    for (i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
        if (!is_word(s, len, capabilities[i].word))
            continue;
        c->caps |= capabilities[i].cap;
        if (capabilities[i].cap == CAP_SIZE && len > 5)
            c->max_size = size_value(s + 5, len - 5);
        return;
    }
}

void mta_on_hello_reply(mta_client_t *c)
{
    int class = mta_reply_class(&c->reply);

    if (class == MTA_GOOD && (c->caps & CAP_STARTTLS) && c->tls && !c->in_tls)
        mta_enter(c, S_STARTTLS);
    else if (class == MTA_GOOD) {
        if (!mta_tls_missing(c))
            mta_ready(c);
    }
    else if (class == MTA_PERMANENT && c->protocol == MTA_SMTP && !c->in_tls)
        mta_enter(c, S_HELO);
    else
        mta_end(c, MTA_END_REFUSED, &c->reply);
}

void mta_say_helo(mta_client_t *c)
{
    c->caps = 0;
    conn_printf(c->conn, "HELO %s\r\n", c->hello);
}

void mta_on_helo_reply(mta_client_t *c)
{
    if (mta_reply_class(&c->reply) != MTA_GOOD)
        mta_end(c, MTA_END_REFUSED, &c->reply);
    else if (!mta_tls_missing(c))
        mta_ready(c);
}
