/* bench_render.c - what a copy costs: make bench-render.
 *
 * Microseconds on one core: to look a message through when it is accepted, to
 * parse its template, to render one copy. The largest cases are the longest
 * that a loop is held up in one go (design 6: 5 ms).
 */
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "mg_render.h"
#include "mg_sending.h"
#include "mg_status.h"

#define HEAD "From: me@d.test\r\nTo: %recipient%\r\nSubject: Hi " \
    "%recipient_fname%\r\nMIME-Version: 1.0\r\n"
#define TEXT "Content-Type: text/plain; charset=utf-8\r\n\r\n"
#define HTML "Content-Type: text/html; charset=utf-8\r\n" \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
#define LATIN "Content-Type: text/html; charset=iso-8859-1\r\n" \
    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
#define LINE "Dear %recipient.name%, this is a line of a letter, go on.\r\n"
#define UMLAUTS "F=C3=BCr %recipient.name%: =3Cb>Gr=C3=BC=C3=9Fe=3C/b> und so.\r\n"
#define LATIN1 "F=FCr %recipient.name%: =3Cb>Gr=FC=DFe=3C/b> und so.\r\n"
#define PLAIN "There is no variable in this line, not one, none at all ...\r\n"
#define BASE64 "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFB" \
    "QUFBQUFB\r\n"
#define ANCHOR "<tr><td style=\"padding:0 0 10px 0;font-family:Arial\"><a href=\"" \
    "https://shop.test/p?id=4711&amp;utm_source=letter\" style=\"color:#fff\">" \
    "Read more &raquo;</a> some words of a text that goes on for a while, and " \
    "then some more of them, as letters of shops have them</td></tr>\r\n"
#define HTML7 "Content-Type: text/html; charset=utf-8\r\n\r\n"
#define URL "See https://shop.test/p?id=4711&utm_source=letter, and the rest.\r\n"
#define ATTACHED "Content-Type: multipart/mixed; boundary=bbbbbbbbbbbb\r\n\r\n" \
    "--bbbbbbbbbbbb\r\n\r\nHi %recipient_name%\r\n--bbbbbbbbbbbb\r\n" \
    "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"

static const struct {
    const char *name, *head, *line;
    apr_size_t size;
    int tracked;               /* opens, clicks, unsubscribing */
} cases[] = {
    { "4 KB text, no variable", "Subject: x\r\n" TEXT, PLAIN, 4000, 0 },
    { "4 KB text, 70 variables", HEAD TEXT, LINE, 4000, 0 },
    { "4 KB text, in To and Subject", HEAD TEXT, PLAIN, 4000, 0 },
    { "40 KB html, quoted-printable", HEAD HTML, UMLAUTS, 40000, 0 },
    { "40 KB html, ISO-8859-1", HEAD LATIN, LATIN1, 40000, 0 },
    { "500 KB html, quoted-printable", HEAD HTML, UMLAUTS, 500000, 0 },
    { "500 KB html, ISO-8859-1", HEAD LATIN, LATIN1, 500000, 0 },
    { "25 MB, attached", HEAD ATTACHED, BASE64, 25000000, 0 },
    { "4 KB html, 13 links, untracked", "Subject: x\r\n" HTML7, ANCHOR, 4000,
      0 },
    { "4 KB html, 13 links", "Subject: x\r\n" HTML7, ANCHOR, 4000, 1 },
    { "30 KB html, 93 links", "Subject: x\r\n" HTML7, ANCHOR, 30000, 1 },
    { "30 KB html, quoted-printable", HEAD HTML, ANCHOR, 30000, 1 },
    { "250 KB html, 790 links", "Subject: x\r\n" HTML7, ANCHOR, 250000, 1 },
    { "4 KB text, 60 links", "Subject: x\r\n" TEXT, URL, 4000, 1 },
};

static char *make(int i, apr_size_t *plen, apr_pool_t *p)
{
    apr_size_t line = strlen(cases[i].line), head = strlen(cases[i].head);
    char *bytes = apr_palloc(p, cases[i].size + line + 1);
    apr_size_t len = head;

    memcpy(bytes, cases[i].head, head);
    for (; len < cases[i].size; len += line)
        memcpy(bytes + len, cases[i].line, line);
    *plen = len;
    return bytes;
}

static apr_status_t read_bytes(const char **pbytes, apr_int64_t offset,
                               apr_size_t len, void *baton, apr_pool_t *p)
{
    (void)len;
    (void)p;
    *pbytes = (const char *)baton + offset;
    return APR_SUCCESS;
}

/* Microseconds of CPU: others may be busy beside us. */
static double used(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6
           + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static mg_render_links_t links = {
    .scheme = "http", .host = "email.d.test",
    .footer_html = "\n<br>\n<p><a href=\"%unsubscribe_url%\">unsubscribe</a>"
                   "</p>\n",
    .footer_text = "\n\nTo unsubscribe click: <%unsubscribe_url%>\n\n"
};

static void make_secret(apr_pool_t *p)
{
    char *path = apr_psprintf(p, "/tmp/bench_render.%d", (int)getpid());
    mg_track_keys_t *keys;

    if (mg_track_keys_create(path, p) != APR_SUCCESS
        || mg_track_keys_load(&keys, path, p) != APR_SUCCESS)
        exit(1);
    unlink(path);
    links.keys = keys;
}

static double check(const char **poptions, const char *bytes, apr_size_t len,
                    int tracked, int rounds, apr_pool_t *parent)
{
    mg_render_track_t track = { { 1, 1, MG_CLICKS_YES, 1 }, NULL };
    double begun = used();
    const char *error;
    int i;

    for (i = 0; i < rounds; i++) {
        json_t *options = json_object();
        apr_pool_t *p;

        apr_pool_create(&p, parent);
        if (mg_render_check(options, &error, 0, tracked ? &track : NULL, bytes,
                            len, p) != APR_SUCCESS) {
            fprintf(stderr, "bench_render: %s\n", error);
            exit(1);
        }
        if (i == 0)
            *poptions = mg_json_compact(options, parent);
        json_decref(options);
        apr_pool_destroy(p);
    }
    return (used() - begun) / rounds;
}

static double copies(const mg_template_t *t, int rounds, apr_pool_t *parent)
{
    mg_message_t message = { .id = 1, .domain_id = 2 };
    mg_delivery_t delivery = {
        .id = 3, .recipient = "bob@x.test",
        .recipient_as_given = "J\xc3\xbcrgen Lee <bob@x.test>",
        .variables = "{\"name\":\"J\xc3\xbcrgen & Co\",\"id\":17}"
    };
    mg_render_for_t who = { &message, &delivery, "d.test", &links, NULL };
    double begun = used();
    mg_render_copy_t copy;
    apr_pool_t *p;
    int i;

    apr_pool_create(&p, parent);
    for (i = 0; i < rounds; i++) {
        apr_pool_clear(p);
        mg_render_copy(&copy, t, &who, p);
    }
    apr_pool_destroy(p);
    return (used() - begun) / rounds;
}

int main(void)
{
    apr_pool_t *p;
    size_t i;

    apr_initialize();
    apr_pool_create(&p, NULL);
    make_secret(p);
    printf("%-32s %12s %12s %12s\n", "us", "accepted", "parsed", "a copy");
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        apr_size_t len;
        char *bytes = make((int)i, &len, p);
        int rounds = len > 1000000 ? 10 : len > 100000 ? 30 : 1000;
        const char *options;
        mg_sending_t sending;
        mg_template_t *t;
        double begun;
        double accepted = check(&options, bytes, len, cases[i].tracked,
                                rounds, p), parsed;

        printf("%-32s %12.1f", cases[i].name, accepted);
        mg_sending_read(&sending, options, p);
        if (!sending.plan) {
            printf("\n");
            continue;
        }
        begun = used();
        mg_template_parse(&t, sending.plan, (apr_int64_t)len, read_bytes,
                          bytes, p);
        parsed = used() - begun;
        printf(" %12.1f %12.1f\n", parsed, copies(t, rounds, p));
    }
    apr_pool_destroy(p);
    apr_terminate();
    return 0;
}
