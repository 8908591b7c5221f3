/* conn_line.c - input of a connection as lines or raw bytes.
 *
 * Lines end with CRLF and nothing else (RFC 5321 2.3.8). A line with a bare CR
 * or LF or a NUL is thrown away as a whole: taking the parts for lines of
 * their own is how commands are smuggled.
 */
#include <string.h>

#include "conn_private.h"
#include "mg_status.h"

static void use_up(conn_t *conn, apr_size_t n)
{
    conn->in.start += n;
    conn->in.len -= n;
    conn->scanned = 0;
    if (conn->in.len == 0)
        conn->in.start = 0;
    conn_made_room(conn);
}

/* Throw away up to and with the next CRLF. False if there is none yet: then
 * all is thrown away but a CR at the very end. */
static int drop_line(conn_t *conn)
{
    const char *begin = conn->in.data + conn->in.start;
    const char *end = begin + conn->in.len, *at = begin, *lf;

    while ((lf = memchr(at, '\n', (apr_size_t)(end - at)))) {
        at = lf + 1;
        if (lf > begin && lf[-1] == '\r') {
            use_up(conn, (apr_size_t)(at - begin));
            return 1;
        }
    }
    if (end > begin && end[-1] == '\r')
        end--;
    use_up(conn, (apr_size_t)(end - begin));
    return 0;
}

static apr_status_t skip_status(enum conn_skip skip)
{
    return skip == CONN_SKIP_LONG ? MG_ELIMIT : MG_EBADINPUT;
}

/* A line without its end turned out too long, or bad. */
static apr_status_t go_on_skipping(conn_t *conn)
{
    enum conn_skip skip = conn->skip;

    if (!drop_line(conn))
        return APR_EAGAIN;
    conn->skip = CONN_SKIP_NO;
    return skip == CONN_SKIP_QUIET ? APR_SUCCESS : skip_status(skip);
}

static apr_status_t bare_lf(conn_t *conn, apr_size_t n)
{
    use_up(conn, n);
    /* Say it now: who ends lines by LF alone never sends a CRLF. */
    conn->skip = drop_line(conn) ? CONN_SKIP_NO : CONN_SKIP_QUIET;
    return MG_EBADINPUT;
}

apr_status_t conn_line(conn_t *conn, const char **pline, apr_size_t *plen,
                       apr_size_t max)
{
    char *begin, *lf;
    apr_size_t len;
    apr_status_t rv;

    *pline = NULL;
    *plen = 0;
    if (conn->state != CONN_OPEN)
        return APR_EAGAIN;
    if (conn->skip != CONN_SKIP_NO) {
        rv = go_on_skipping(conn);
        if (rv != APR_SUCCESS)
            return rv;
    }
    if (conn->in.len == 0)
        return APR_EAGAIN;
    begin = conn->in.data + conn->in.start;
    lf = memchr(begin + conn->scanned, '\n', conn->in.len - conn->scanned);
    if (!lf) {
        conn->scanned = conn->in.len;
        if (conn->in.len > max + 1) { /* one may be the CR */
            conn->skip = CONN_SKIP_LONG;
            drop_line(conn);
        }
        return APR_EAGAIN;
    }
    len = (apr_size_t)(lf - begin);
    if (len == 0 || begin[len - 1] != '\r')
        return bare_lf(conn, len + 1);
    use_up(conn, len + 1);
    len--;
    if (len > max)
        return MG_ELIMIT;
    if (memchr(begin, '\r', len) || memchr(begin, '\0', len))
        return MG_EBADINPUT;
    begin[len] = '\0';
    *pline = begin;
    *plen = len;
    return APR_SUCCESS;
}

const char *conn_peek(conn_t *conn, apr_size_t *plen)
{
    *plen = conn->state == CONN_OPEN ? conn->in.len : 0;
    return *plen ? conn->in.data + conn->in.start : "";
}

void conn_skip(conn_t *conn, apr_size_t n)
{
    if (conn->state != CONN_OPEN)
        return;
    use_up(conn, n < conn->in.len ? n : conn->in.len);
}

int conn_has_input(const conn_t *conn)
{
    return conn->state == CONN_OPEN && conn->in.len > 0;
}
