/* test_reply_text.c - quotes and signatures in plain text (mg_reply.h).
 *
 * Attributions of many clients and languages, each above a reply and below one;
 * then whole messages, in tests/data/reply/text: "=== title", the body, "---
 * text" with what must be left, "--- signature".
 */
#include <stdio.h>
#include <string.h>
#include <apr_file_io.h>
#include <apr_strings.h>

#include "mg_reply.h"
#include "mg_time.h"
#include "unit_pool.h"

static const char *const attributions[] = {
    /* English */
    "On Mon, Jan 6, 2020 at 10:21 AM Ann Lee <ann@example.com> wrote:",
    "On Jan 6, 2020, at 10:21 AM, Ann Lee <ann@example.com> wrote:",
    "On 6 Jan 2020, at 10:21, Ann Lee <ann@example.com> wrote:",
    "On 06/01/2020 10:21, Ann Lee wrote:",
    "On 2020-01-06 10:21, Ann Lee wrote:",
    "On Monday, January 6, 2020, 10:21:17 AM EST, Ann Lee <ann@example.com> "
    "wrote:",
    "On Monday, January 6th, 2020 at 10:21 AM, Ann Lee <ann@example.com> "
    "wrote:",
    "On Mon, Jan 6, 2020 at 10:21 AM Ann Lee via Support <\nsupport@example.com>"
    " wrote:",
    "On Mon, Jan 6, 2020 at 10:21 AM Bartholomew Longname\n"
    "<bartholomew.longname@example.com> wrote:",
    "On Mon, 6 Jan 2020 10:21:17 +0100\nAnn Lee <ann@example.com> wrote:",
    "Ann Lee <ann@example.com> wrote:",
    "At 2020-01-06 10:21:17, \"Ann Lee\" <ann@example.com> wrote:",
    "---- On Mon, 06 Jan 2020 10:21:17 +0100 Ann Lee <ann@example.com> wrote "
    "----:",
    "Quoting Ann Lee <ann@example.com> who wrote on 2020-01-06:",
    "*On Mon, Jan 6, 2020 at 10:21 AM Ann Lee <ann@example.com> wrote:*",
    /* German */
    "Am Mo., 6. Jan. 2020 um 10:21 Uhr schrieb Ann Lee <ann@example.com>:",
    "Am 06.01.2020 um 10:21 schrieb Ann Lee:",
    "Am 06.01.20 um 10:21 schrieb Ann Lee <ann@example.com>:",
    "Am 6. Januar 2020 10:21:17 MEZ schrieb Ann Lee <ann@example.com>:",
    "Ann Lee <ann@example.com> schrieb am Mo., 6. Jan. 2020, 10:21:",
    "Ann Lee schrieb am 06.01.2020 um 10:21:",
    "Am Montag, 6. Januar 2020 10:21:17 CET schrieben Sie:",
    "Am Mo., 6. Jan. 2020 um 10:21 Uhr schrieb Ann Lee via Support <\n"
    "support@example.com>:",
    /* French */
    "Le lun. 6 janv. 2020 à 10:21, Ann Lee <ann@example.com> a écrit :",
    "Le 6 janv. 2020 à 10:21, Ann Lee <ann@example.com> a écrit\xc2\xa0:",
    "Le 06/01/2020 à 10:21, Ann Lee a écrit :",
    "Le lun. 6 janv. 2020 à 10:21, Bartholomew Longname <b@example.com> a\n"
    "écrit :",
    "Le lundi 6 janvier 2020 à 10:21:17 UTC+1, Ann Lee <ann@example.com> a "
    "écrit :",
    /* Spanish, Catalan */
    "El lun, 6 ene 2020 a las 10:21, Ann Lee (<ann@example.com>) escribió:",
    "El 6 ene 2020, a las 10:21, Ann Lee <ann@example.com> escribió:",
    "El 06/01/2020 a las 10:21, Ann Lee escribió:",
    "El lunes, 6 de enero de 2020, Ann Lee <ann@example.com> escribió:",
    "Missatge de Ann Lee <ann@example.com> del dia dl., 6 de gen. 2020 a les "
    "10:21 va escriure:",
    /* Italian */
    "Il giorno lun 6 gen 2020 alle ore 10:21 Ann Lee <ann@example.com> ha "
    "scritto:",
    "Il giorno 6 gen 2020, alle ore 10:21, Ann Lee <ann@example.com> ha "
    "scritto:",
    "Il 06/01/2020 10:21, Ann Lee ha scritto:",
    "Il giorno lun 6 gen 2020 alle ore 10:21 Ann Lee <ann@example.com>\nha "
    "scritto:",
    /* Dutch */
    "Op ma 6 jan. 2020 om 10:21 schreef Ann Lee <ann@example.com>:",
    "Op 6 jan. 2020, om 10:21 heeft Ann Lee <ann@example.com> het volgende "
    "geschreven:",
    "Op 06-01-2020 om 10:21 schreef Ann Lee:",
    /* Portuguese */
    "Em seg., 6 de jan. de 2020 às 10:21, Ann Lee <ann@example.com> escreveu:",
    "Em 06/01/2020 10:21, Ann Lee escreveu:",
    "Em 6 de jan de 2020, à(s) 10:21, Ann Lee <ann@example.com> escreveu:",
    "Ann Lee <ann@example.com> escreveu no dia segunda, 6/01/2020 à(s) 10:21:",
    "A segunda, 6 de jan. de 2020, 10:21, Ann Lee <ann@example.com> escreveu:",
    /* Polish */
    "pon., 6 sty 2020 o 10:21 Ann Lee <ann@example.com> napisał(a):",
    "W dniu 06.01.2020 o 10:21, Ann Lee pisze:",
    "W dniu pon., 6.01.2020 o 10:21 Ann Lee <ann@example.com> napisał(a):",
    "Dnia 6 stycznia 2020 10:21 Ann Lee <ann@example.com> napisał(a):",
    /* Russian, Ukrainian */
    "пн, 6 янв. 2020 г. в 10:21, Ann Lee <ann@example.com>:",
    "6 янв. 2020 г., в 10:21, Ann Lee <ann@example.com> написал(а):",
    "06.01.2020 10:21, Ann Lee пишет:",
    "Понедельник, 6 января 2020, 10:21 +03:00 от Ann Lee <ann@example.com>:",
    "06.01.2020, 10:21, \"Ann Lee\" <ann@example.com>:",
    "пн, 6 січ. 2020 р. о 10:21 Ann Lee <ann@example.com> пише:",
    /* Japanese */
    "2020年1月6日(月) 10:21 Ann Lee <ann@example.com>:",
    "2020/01/06 10:21、Ann Lee <ann@example.com>のメール:",
    "On 2020/01/06 10:21, Ann Lee wrote:",
    "2020年1月6日 10:21、Ann Lee <ann@example.com>さんは書きました:",
    /* Chinese */
    "Ann Lee <ann@example.com> 于2020年1月6日周一 上午10:21写道：",
    "在 2020年1月6日，10:21，Ann Lee <ann@example.com> 写道：",
    "在 2020-01-06 10:21:17，\"Ann Lee\" <ann@example.com> 写道：",
    "Ann Lee <ann@example.com> 於 2020年1月6日 週一 上午10:21寫道：",
    /* others */
    "Den mån 6 jan. 2020 kl 10:21 skrev Ann Lee <ann@example.com>:",
    "Den man. 6. jan. 2020 kl. 10.21 skrev Ann Lee <ann@example.com>:",
    "man. 6. jan. 2020 kl. 10:21 skrev Ann Lee <ann@example.com>:",
    "ma 6. tammik. 2020 klo 10.21 Ann Lee (ann@example.com) kirjoitti:",
    "po 6. 1. 2020 v 10:21 odesílatel Ann Lee <ann@example.com> napsal:",
    "Ann Lee <ann@example.com>, 6 Oca 2020 Pzt, 10:21 tarihinde şunu yazdı:",
    "Ann Lee <ann@example.com> ezt írta (időpont: 2020. jan. 6., H, 10:21):",
    "Στις Δευ, 6 Ιαν 2020 στις 10:21 π.μ., ο Ann Lee <ann@example.com> "
    "έγραψε:",
    "În lun., 6 ian. 2020 la 10:21, Ann Lee <ann@example.com> a scris:",
    "2020년 1월 6일 (월) 오전 10:21, Ann Lee <ann@example.com>님이 작성:",
};

static int done, missed;

static void check(const char *title, const char *body, const char *from,
                  const char *want, const char *want_signature)
{
    const char *text, *signature;

    mg_reply_strip_text(&text, &signature, body, from, pool);
    done++;
    if (!strcmp(text, want)
        && (!want_signature || !strcmp(signature, want_signature)))
        return;
    missed++;
    print_message("%s:\n[%s]\n[%s]\ninstead of\n[%s]\n[%s]\n", title, text,
                  signature, want, want_signature ? want_signature : "-");
}

static void of_all_languages(void **state)
{
    size_t i;

    (void)state;
    done = missed = 0;
    for (i = 0; i < COUNT(attributions); i++) {
        const char *a = attributions[i];

        check(a, apr_pstrcat(pool, "Fine with me.\n\nSee you there\n\n", a,
                             "\n\n> Shall we meet?\n>\n> Ann\n", NULL), NULL,
              "Fine with me.\n\nSee you there", "");
        check(a, apr_pstrcat(pool, "Fine with me.\r\n\r\n", a,
                             "\r\n> Shall we meet?\r\n> At noon?\r\n", NULL),
              NULL, "Fine with me.", "");
        check(a, apr_pstrcat(pool, a, "\n> Shall we meet?\n>\n> Ann\n\n"
                             "Fine with me.\n", NULL), NULL, "Fine with me.",
              "");
    }
    /* without ">": the date or the address must do */
    for (i = 0; i < COUNT(attributions); i++)
        check(attributions[i],
              apr_pstrcat(pool, "Fine with me.\n\n", attributions[i],
                          "\n\nShall we meet?\n\nAnn\n", NULL), NULL,
              "Fine with me.", "");
    print_message("%d of %d\n", done - missed, done);
    assert_true(missed * 20 <= done);
}

/* --- whole messages --- */

static char *read_cases(void)
{
    const char *path = "tests/data/reply/text";
    apr_file_t *f;
    apr_finfo_t info;
    apr_size_t len;
    char *buf;

    assert_int_equal(apr_file_open(&f, path, APR_READ, 0, pool), APR_SUCCESS);
    assert_int_equal(apr_file_info_get(&info, APR_FINFO_SIZE, f), APR_SUCCESS);
    buf = apr_palloc(pool, (apr_size_t)info.size + 1);
    assert_int_equal(apr_file_read_full(f, buf, (apr_size_t)info.size, &len),
                     APR_SUCCESS);
    buf[len] = '\0';
    apr_file_close(f);
    return buf;
}

/* Up to a line with the mark, which is cut off; NULL: there is none. */
static char *part(char **at, const char *mark)
{
    char *begin = *at, *end = strstr(begin, mark);

    if (!end)
        return NULL;
    *end = '\0';
    *at = end + strlen(mark);
    return begin;
}

static char *trim(char *s)
{
    char *end = s + strlen(s);

    while (end > s && strchr(" \n", end[-1]))
        *--end = '\0';
    return s + strspn(s, "\n");
}

static void whole_messages(void **state)
{
    char *at = read_cases(), *next;

    (void)state;
    done = missed = 0;
    at = strstr(at, "=== ");
    for (; at; at = next) {
        char *title, *from, *body, *text;

        next = strstr(at + 1, "\n=== ");
        if (next)
            *next++ = '\0';
        title = at + 4;
        at = strchr(title, '\n');
        *at++ = '\0';
        from = strstr(title, " | ");
        if (from) {
            *from = '\0';
            from += 3;
        }
        body = part(&at, "\n--- text\n");
        assert_non_null(body);
        text = part(&at, "\n--- signature");
        check(title, body, from, trim(text ? text : at), text ? trim(at) : "");
    }
    print_message("%d of %d\n", done - missed, done);
    assert_true(done >= 60);
    assert_true(missed * 20 <= done);
}

/* --- hostile --- */

static const char *repeated(const char *s, int n)
{
    apr_size_t len = strlen(s), i;
    char *out = apr_palloc(pool, len * (apr_size_t)n + 1);

    for (i = 0; i < (apr_size_t)n; i++)
        memcpy(out + i * len, s, len);
    out[len * (apr_size_t)n] = '\0';
    return out;
}

static void hostile(void **state)
{
    static const struct {
        const char *s;
        int n;
    } cases[] = {
        { "> > > >\n", 100000 }, { "On On On On\n", 50000 },
        { "From: a\n", 60000 }, { "a", 1000000 }, { "\n", 90000 },
        { "On Mon, Jan 6, 2020 at 10:21 AM\n", 30000 }, { "-- \n", 90000 },
        { "x\n> y\n", 45000 }, { "Thanks,\n", 60000 }, { "-----\n", 60000 },
        { "((((((((((((((((((((((((((((((1 1 1 1 1 1 1 1 1\n", 20000 },
        { "\xff\n", 50000 }, { "Am :\n", 60000 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *text, *signature;
        apr_time_t start = mg_thread_ticks();

        mg_reply_strip_text(&text, &signature,
                            repeated(cases[i].s, cases[i].n), "A <a@b>", pool);
        if (mg_thread_ticks() - start > apr_time_from_sec(4))
            fail_msg("'%.20s' takes too long", cases[i].s);
    }
}

UNIT_MAIN(cmocka_unit_test(of_all_languages), cmocka_unit_test(whole_messages),
          cmocka_unit_test(hostile))
