/* fuzz_smtp_body.c - the end-of-data scanner of smtpd: the first octet says
 * how the rest is cut; cut or whole, the outcome is the same, the end is after
 * CRLF.CRLF only, and content with a bare CR or LF is known as such. The same
 * octets as chunks: all are content, however they are cut. */
#include "fuzz.h"
#include "../../smtpd/smtp_body.c"

static smtp_spares_t spares;
static smtp_body_t whole, cut, parts; /* they outlive the pool */

static size_t feed_cut(smtp_body_t *body, const char *in, size_t len,
                       size_t step)
{
    size_t at = 0, n, taken;

    while (at < len && body->state != BODY_END) {
        char *piece;

        n = len - at < step ? len - at : step;
        piece = fuzz_exact(in + at, n);
        taken = smtp_body_feed(body, piece, n);
        free(piece);
        at += taken;
        FUZZ_MUST(taken == n || body->state == BODY_END);
    }
    return at;
}

static void chunks(const char *in, size_t len, size_t step, apr_pool_t *p)
{
    size_t at, n, i;
    int bare = 0;

    smtp_body_init(&parts, 1000, "/nonexistent", &spares, p);
    for (at = 0; at < len; at += n) {
        char *piece;

        n = len - at < step ? len - at : step;
        piece = fuzz_exact(in + at, n);
        smtp_body_chunk(&parts, piece, n);
        free(piece);
    }
    smtp_body_last(&parts);
    for (i = 0; i < len; i++) {
        bare |= in[i] == '\n' && (i == 0 || in[i - 1] != '\r');
        bare |= in[i] == '\r' && (i + 1 == len || in[i + 1] != '\n');
    }
    FUZZ_MUST(parts.state == BODY_END && parts.bare == bare);
    FUZZ_MUST(parts.nul == (memchr(in, '\0', len) != NULL));
    if (bare || parts.too_big || len == 0)
        return;
    FUZZ_MUST(parts.len >= len && memcmp(parts.buf, in, len) == 0);
    FUZZ_MUST(memcmp(parts.buf + parts.len - 2, "\r\n", 2) == 0);
}

FUZZ(text, len, p)
{
    size_t taken, taken_cut, i;
    int bare = 0;

    if (len < 1)
        return;
    smtp_body_init(&whole, 1000, "/nonexistent", &spares, p);
    smtp_body_init(&cut, 1000, "/nonexistent", &spares, p);
    taken = smtp_body_feed(&whole, text + 1, len - 1);
    taken_cut = feed_cut(&cut, text + 1, len - 1,
                         1 + (unsigned char)text[0] % 16);
    FUZZ_MUST(taken == taken_cut && whole.state == cut.state);
    FUZZ_MUST(whole.bare == cut.bare && whole.too_big == cut.too_big);
    if (!whole.too_big)
        FUZZ_MUST(whole.len == cut.len
                  && (whole.len == 0
                      || memcmp(whole.buf, cut.buf, whole.len) == 0));
    chunks(text + 1, len - 1, 1 + (unsigned char)text[0] % 16, p);
    text++;
    if (whole.state != BODY_END)
        return;
    FUZZ_MUST(taken >= 3 && memcmp(text + taken - 3, ".\r\n", 3) == 0);
    FUZZ_MUST(taken == 3 || (taken >= 5
                             && memcmp(text + taken - 5, "\r\n", 2) == 0));
    for (i = 0; i < taken; i++) {
        bare |= text[i] == '\n' && (i == 0 || text[i - 1] != '\r');
        bare |= text[i] == '\r' && text[i + 1] != '\n';
    }
    FUZZ_MUST(bare == whole.bare);
}
