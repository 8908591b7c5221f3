/* unit_mx.c - see unit_mx.h. */
#include "unit_mx.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <apr_strings.h>

static void count_out(unit_mx_session_t *s)
{
    s->mx->open -= s->counted;
    s->counted = 0;
}

static void put(unit_mx_session_t *s, const char *line)
{
    apr_snprintf(s->envelope + strlen(s->envelope),
                 sizeof(s->envelope) - strlen(s->envelope), "%s|", line);
}

static void message_done(unit_mx_session_t *s)
{
    unit_mx_t *mx = s->mx;
    int i;

    if (mx->messages < 60) {
        apr_cpystrn(mx->seen[mx->messages], s->envelope, 4000);
        mx->contents[mx->messages] = apr_pstrmemdup(mx->p, s->content,
                                                    s->len);
        mx->lens[mx->messages] = s->len;
    }
    mx->messages++;
    s->in_data = 0;
    if (mx->hold_the_answer) {
        mx->held = s;
        return;
    }
    for (i = 0; i < (mx->is_lmtp ? s->rcpts : 1); i++)
        conn_printf(s->conn, strstr(s->envelope, "<spam@")
                                 ? "550 5.7.1 spam\r\n"
                                 : "250 2.0.0 queued as 1\r\n");
    if (mx->hang_up_after_message)
        conn_finish(s->conn);
}

static void data_line(unit_mx_session_t *s, const char *line, apr_size_t len)
{
    if (strcmp(line, ".") == 0) {
        message_done(s);
        return;
    }
    if (line[0] == '.') {
        line++;
        len--;
    }
    if (s->len + len + 2 > s->size) {
        s->size = 2 * (s->len + len + 2);
        s->content = memcpy(apr_palloc(s->p, s->size), s->content, s->len);
    }
    memcpy(s->content + s->len, line, len);
    memcpy(s->content + s->len + len, "\r\n", 2);
    s->len += len + 2;
}

static void command(unit_mx_session_t *s, const char *line)
{
    if (strncmp(line, "EHLO", 4) == 0 && s->mx->broken_tls)
        conn_printf(s->conn, "250-mx\r\n250 STARTTLS\r\n");
    else if (strcmp(line, "STARTTLS") == 0)
        conn_printf(s->conn, "220 go\r\n");
    else if (strncmp(line, "EHLO", 4) == 0 && s->mx->dsn)
        conn_printf(s->conn, "250-mx\r\n250 DSN\r\n");
    else if (strncmp(line, "EHLO", 4) == 0 || strncmp(line, "LHLO", 4) == 0)
        conn_printf(s->conn, "250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n");
    else if (strncmp(line, "MAIL", 4) == 0 && s->mx->refusal)
        conn_printf(s->conn, "%s", s->mx->refusal);
    else if (strncmp(line, "RCPT", 4) == 0 && s->mx->refusal)
        conn_printf(s->conn, "503 5.5.1 MAIL first\r\n");
    else if (strncmp(line, "MAIL", 4) == 0) {
        s->envelope[0] = '\0';
        s->rcpts = 0;
        s->len = 0;
        put(s, line);
        conn_printf(s->conn, "250 ok\r\n");
    }
    else if (strncmp(line, "RCPT TO:<defer", 14) == 0)
        conn_printf(s->conn, "451 4.7.1 later\r\n");
    else if (strncmp(line, "RCPT TO:<full", 13) == 0)
        conn_printf(s->conn, "552 5.2.2 mailbox full\r\n");
    else if (strncasecmp(line, "RCPT TO:<bounce", 15) == 0)
        conn_printf(s->conn, "550 5.1.1 no such user\r\n");
    else if (strncmp(line, "RCPT", 4) == 0 && s->mx->rcpt_limit
             && s->rcpts == s->mx->rcpt_limit)
        conn_printf(s->conn, "452 4.5.3 too many recipients\r\n");
    else if (strncmp(line, "RCPT", 4) == 0) {
        s->rcpts++;
        put(s, line);
        conn_printf(s->conn, "250 ok\r\n");
    }
    else if (strcmp(line, "DATA") == 0 && s->rcpts == 0)
        conn_printf(s->conn, "554 no recipients\r\n");
    else if (strcmp(line, "DATA") == 0) {
        s->in_data = 1;
        conn_printf(s->conn, "354 go\r\n");
    }
    else if (strcmp(line, "QUIT") == 0) {
        conn_printf(s->conn, "221 bye\r\n");
        conn_finish(s->conn);
        count_out(s);
    }
    else
        conn_printf(s->conn, "250 ok\r\n");
}

static void mx_input(conn_t *conn, void *baton)
{
    unit_mx_session_t *s = baton;
    const char *line;
    apr_size_t len;

    line = conn_peek(conn, &len);
    if (len > 0 && line[0] == 0x16) { /* a ClientHello */
        conn_printf(conn, "500 what is that\r\n");
        conn_finish(conn);
        return;
    }
    while (conn_line(conn, &line, &len, 4000) == APR_SUCCESS) {
        if (s->in_data)
            data_line(s, line, len);
        else
            command(s, line);
    }
}

static void mx_close(conn_t *conn, apr_status_t rv, void *baton)
{
    unit_mx_session_t *s = baton;

    (void)conn;
    (void)rv;
    count_out(s);
}

static const conn_events_t mx_events = { mx_input, NULL, NULL, mx_close };

static void mx_accept(int fd, const struct sockaddr *peer, socklen_t len,
                      void *baton)
{
    unit_mx_t *mx = baton;
    unit_mx_session_t *s = apr_pcalloc(mx->p, sizeof(*s));

    (void)peer;
    (void)len;
    s->mx = mx;
    s->p = mx->p;
    s->content = "";
    mx->sessions++;
    s->conn = conn_create(mx->loop, fd, &mx_events, s, mx->p);
    if (mx->limit && mx->open >= mx->limit) {
        mx->refused++;
        conn_printf(s->conn, "421 4.7.0 too many connections\r\n");
        conn_finish(s->conn);
        return;
    }
    s->counted = 1;
    mx->open++;
    conn_printf(s->conn, "%s", mx->busy ? mx->busy : "220 mx\r\n");
    if (mx->busy)
        conn_finish(s->conn);
}

/* port 0: any */
unit_mx_t *unit_mx_start(loop_t *loop, unsigned int ip, int port, apr_pool_t *p)
{
    unit_mx_t *mx = apr_pcalloc(p, sizeof(*mx));
    struct sockaddr_in in;
    socklen_t len = sizeof(in);

    memset(&in, 0, sizeof(in));
    in.sin_family = AF_INET;
    in.sin_addr.s_addr = htonl(ip);
    in.sin_port = htons((apr_uint16_t)port);
    mx->p = p;
    mx->loop = loop;
    mx->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(mx->fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(listen(mx->fd, 100), 0);
    getsockname(mx->fd, (struct sockaddr *)&in, &len);
    mx->port = ntohs(in.sin_port);
    assert_int_equal(conn_listen_accept(&mx->listener, loop, mx->fd,
                                        mx_accept, mx), APR_SUCCESS);
    return mx;
}
