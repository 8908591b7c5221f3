/* test_smtp_transcripts.c - runs the transcripts of tests/smtp (its README says
 * how they are read) against a receiver in this process. */
#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>

#include <apr_base64.h>

#include "mg_log.h"
#include "unit_pool.h"
#include "unit_smtp.h"

typedef struct {
    unit_smtp_t *u;
    unit_client_t *client;
    const char *file;
    int line_no;
    const char *reply;         /* the last one */
    char out[1 << 20];         /* not sent yet */
    apr_size_t out_len;
    apr_pool_t *p;
} run_t;

static run_t run;

#define FAIL(...) \
    do { \
        print_error("%s:%d: ", run.file, run.line_no); \
        fail_msg(__VA_ARGS__); \
    } while (0)

/* --- what the client says --- */

static void out(const char *bytes, apr_size_t len)
{
    if (run.out_len + len > sizeof(run.out))
        FAIL("too much in one write");
    memcpy(run.out + run.out_len, bytes, len);
    run.out_len += len;
}

static const char *unescape(const char *s, char *c)
{
    static const char names[] = "rnt0\\", values[] = "\r\n\t\0\\";
    const char *at = strchr(names, *s);
    char hex[3];

    if (*s == 'x') {
        hex[0] = s[1];
        hex[1] = s[2];
        hex[2] = '\0';
        *c = (char)strtol(hex, NULL, 16);
        return s + 3;
    }
    if (*s == '\0' || at == NULL)
        FAIL("bad escape");
    *c = values[at - names];
    return s + 1;
}

/* Until end: escapes and {x*n}. */
static void out_text(const char *s, const char *end)
{
    char c;

    while (s < end) {
        if (s[0] == '{' && s[1] && s[2] == '*') {
            long n = strtol(s + 3, NULL, 10);

            for (c = s[1]; n > 0; n--)
                out(&c, 1);
            s = strchr(s, '}') + 1;
            continue;
        }
        c = *s++;
        if (c == '\\')
            s = unescape(s, &c);
        out(&c, 1);
    }
}

static void out_base64(const char *s, const char *end)
{
    apr_size_t from = run.out_len;
    char *text;

    out_text(s, end);
    text = apr_palloc(run.p, (apr_size_t)apr_base64_encode_len(
                                 (int)(run.out_len - from)));
    apr_base64_encode(text, run.out + from, (int)(run.out_len - from));
    run.out_len = from;
    out(text, strlen(text));
}

static void say(const char *s)
{
    const char *end = s + strlen(s), *b64, *close;

    while ((b64 = strstr(s, "{b64:")) != NULL) {
        out_text(s, b64);
        close = strrchr(b64, '}');
        out_base64(b64 + 5, close);
        s = close + 1;
    }
    out_text(s, end);
}

static void flush(void)
{
    if (run.out_len == 0)
        return;
    if (run.client == NULL)
        FAIL("no session was begun with =");
    unit_client_send(run.client, run.out, run.out_len);
    run.out_len = 0;
}

/* --- what the server must say --- */

static void expect_reply(const char *want)
{
    const char *last;

    run.reply = unit_client_reply(run.client, run.p);
    if (run.reply == NULL)
        FAIL("no reply; expected: %s", want);
    last = strrchr(run.reply, '\n');
    last = last ? last + 1 : run.reply;
    if (strncmp(last, want, strlen(want)) != 0)
        FAIL("expected: %s, got: %s", want, run.reply);
}

static int reply_has(const char *text)
{
    const char *line;

    for (line = run.reply; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strlen(line) > 4 && strncmp(line + 4, text, strlen(text)) == 0)
            return 1;
    }
    return 0;
}

/* --- sessions --- */

static void end_session(void)
{
    if (run.client != NULL)
        unit_client_close(run.client);
    run.client = NULL;
    run.out_len = 0;
}

static void begin_session(const char *options)
{
    static const char *const ports[] = { "port=mx", "port=submission",
                                         "port=smtps" };
    static const char *const auth[] = { "auth=off", "auth=loopback",
                                        "auth=on" };
    int i, role = 0;

    end_session();
    run.u->config->auth_without_tls = MG_NOTLS_AUTH_OFF;
    for (i = 0; i < 3; i++) {
        if (strstr(options, ports[i]))
            role = i;
        if (strstr(options, auth[i]))
            run.u->config->auth_without_tls = i;
    }
    run.client = unit_client_connect(run.u, role, run.p);
}

static void do_line(const char *line)
{
    const char *text = line[0] && line[1] && line[2] == ' ' ? line + 3 : "";

    if (line[0] == '\0' || line[0] == '#')
        return;
    if (line[0] == '=') {
        begin_session(line);
        return;
    }
    if (line[0] == 'C') {
        say(text);
        if (line[1] == ':')
            out("\r\n", 2);
        return;
    }
    flush();
    if (strncmp(line, "S:", 2) == 0)
        expect_reply(text);
    else if (strncmp(line, "S+", 2) == 0 && !reply_has(text))
        FAIL("'%s' is not in: %s", text, run.reply);
    else if (strncmp(line, "S!", 2) == 0 && reply_has(text))
        FAIL("'%s' is in: %s", text, run.reply);
    else if (line[0] == 'T' && !unit_client_start_tls(run.client))
        FAIL("TLS handshake failed");
    else if (line[0] == 'X' && !unit_client_is_closed(run.client))
        FAIL("the server did not hang up");
    else if (strchr("STXF", line[0]) == NULL)
        FAIL("what is this line?");
}

static void run_file(const char *path)
{
    char line[8192];
    FILE *in = fopen(path, "r");

    assert_non_null(in);
    run.file = path;
    run.line_no = 0;
    apr_pool_create(&run.p, pool);
    while (fgets(line, sizeof(line), in) != NULL) {
        run.line_no++;
        line[strcspn(line, "\n")] = '\0';
        do_line(line);
    }
    end_session();
    apr_pool_destroy(run.p);
    fclose(in);
}

static int is_transcript(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot != NULL && strcmp(dot, ".txt") == 0;
}

static void test_transcripts(void **state)
{
    const char *only = getenv("TRANSCRIPT");
    struct dirent **list;
    int n, i;

    (void)state;
    run.u = unit_smtp_start(pool);
    n = scandir("tests/smtp", &list, is_transcript, alphasort);
    assert_true(n > 0);
    for (i = 0; i < n; i++) {
        if (only == NULL || strstr(list[i]->d_name, only))
            run_file(apr_pstrcat(pool, "tests/smtp/", list[i]->d_name, NULL));
        free(list[i]);
    }
    free(list);
    unit_smtp_turn(run.u, 10000);
    assert_int_equal(run.u->server->n_sessions, 0);
    assert_int_equal(run.u->server->n_ready, 0);
    unit_smtp_stop(run.u);
}

UNIT_MAIN(cmocka_unit_test(test_transcripts))
