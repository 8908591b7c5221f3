/* fuzz_smtp_body.c - the end-of-data scanner of smtpd: the first octet says
 * how the rest is cut; cut or whole, the outcome is the same, the end is after
 * CRLF.CRLF only, and content with a bare CR or LF is known as such. */
#include "fuzz.h"
#include "../../smtpd/smtp_body.c"

static smtp_spares_t spares;
static smtp_body_t whole, cut; /* they outlive the pool */

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
