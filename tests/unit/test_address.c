/* test_address.c - RFC 5321 paths and RFC 5322 mailboxes (mg_address.h). */
#include "unit_pool.h"
#include "mg_address.h"
#include "mg_mime.h"
#include "mg_status.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L63 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

/* What comes of a list: "name|address|as given" of each; NULL: MG_EADDRESS */
static const struct {
    const char *text, *all;
} lists[] = {
    { "bob@x.com", "|bob@x.com|bob@x.com" },
    { "Bob <bob@Host.COM>", "Bob|bob@host.com|Bob <bob@Host.COM>" },
    { "BOB@X.com", "|BOB@x.com|BOB@X.com" },
    { "a@b.c,d@e.f", "|a@b.c|a@b.c\n|d@e.f|d@e.f" },
    { "a@b.c,, d@e.f ,", "|a@b.c|a@b.c\n|d@e.f|d@e.f" },
    { "\"Doe, J\" <j@y.com>, b@c.d",
      "Doe, J|j@y.com|\"Doe, J\" <j@y.com>\n|b@c.d|b@c.d" },
    { "Sasha (a, comment) <alex@mailgun.net>",
      "Sasha|alex@mailgun.net|Sasha (a, comment) <alex@mailgun.net>" },
    { "bob@x.com (Bob)", "Bob|bob@x.com|bob@x.com (Bob)" },
    { "Team: a@b.c, X <c@d.e>;, f@g.h",
      "|a@b.c|a@b.c\nX|c@d.e|X <c@d.e>\n|f@g.h|f@g.h" },
    /* two of the manual's PHP samples */
    { "Excited User<Excited User <me@d.com>>",
      "Excited User|me@d.com|Excited User<Excited User <me@d.com>>" },
    { "=?utf-8?q?J=C3=BCrgen?= <j@x.de>",
      "J\xc3\xbcrgen|j@x.de|=?utf-8?q?J=C3=BCrgen?= <j@x.de>" },
    { "\xe6\x97\xa5\xe6\x9c\xac <a@\xe6\x97\xa5.jp>",
      "\xe6\x97\xa5\xe6\x9c\xac|a@\xe6\x97\xa5.jp|"
      "\xe6\x97\xa5\xe6\x9c\xac <a@\xe6\x97\xa5.jp>" },
    { "=?utf-8?b?YQ==?= =?utf-8?b?Yg==?= <j@x.de>",
      "ab|j@x.de|=?utf-8?b?YQ==?= =?utf-8?b?Yg==?= <j@x.de>" },
    { "a@xn--wgv71a.jp", "|a@xn--wgv71a.jp|a@xn--wgv71a.jp" },
    { "\"a b\"@x.com", "|\"a b\"@x.com|\"a b\"@x.com" },
    { "\"bob\"@x.com", "|bob@x.com|\"bob\"@x.com" },
    { "a@[192.0.2.1]", "|a@[192.0.2.1]|a@[192.0.2.1]" },
    { "user <@a.b,@c.d:u@e.f>", "user|u@e.f|user <@a.b,@c.d:u@e.f>" },
    { "me@d.com <me@d.com>", "me@d.com|me@d.com|me@d.com <me@d.com>" },
    { A64 "@x.com", "|" A64 "@x.com|" A64 "@x.com" },
    { A64 "a@x.com", NULL },
    { "a@" L63 ".com", "|a@" L63 ".com|a@" L63 ".com" },
    { "a@" L63 "b.com", NULL },
    { "", NULL },
    { " , ,", NULL },
    { "bob", NULL },
    { "bob@", NULL },
    { "@x.com", NULL },
    { "bob@localhost", NULL },
    { "bob@-x.com", NULL },
    { "bob@x_y.com", NULL },
    { "bob@x..com", NULL },
    { "bob@x.com.", "|bob@x.com|bob@x.com." },
    { "a..b@x.com", NULL },
    { ".a@x.com", NULL },
    { "a@b.c, bob", NULL },
    { "a b@x.com", NULL },
    { "bob@x.com\r\nBcc: all@x.com", NULL },
    { "bob@x.com\n", NULL },
    { "<>", NULL },
    { "Bob <bob@x.com", "Bob|bob@x.com|Bob <bob@x.com" },
    { "a@[300.1.1.1]", NULL },
};

static void test_list(void **state)
{
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < COUNT(lists); i++) {
        apr_array_header_t *list;
        const char *all = NULL;
        apr_status_t rv = mg_address_parse_list(&list, lists[i].text, pool);

        if (lists[i].all == NULL) {
            if (rv != MG_EADDRESS)
                fail_msg("'%s' was taken", lists[i].text);
            continue;
        }
        if (rv != APR_SUCCESS)
            fail_msg("'%s' was refused", lists[i].text);
        for (k = 0; k < list->nelts; k++) {
            mg_address_t *a = APR_ARRAY_IDX(list, k, mg_address_t *);

            all = apr_pstrcat(pool, all ? all : "", all ? "\n" : "",
                              a->name ? a->name : "", "|", a->address, "|",
                              a->as_given, NULL);
            assert_string_equal(a->address,
                                apr_pstrcat(pool, a->local, "@", a->domain,
                                            NULL));
        }
        assert_string_equal(all, lists[i].all);
    }
}

static void test_one(void **state)
{
    mg_address_t *a;

    (void)state;
    assert_int_equal(mg_address_parse(&a, "Bob <b@c.d>", pool), APR_SUCCESS);
    assert_string_equal(a->name, "Bob");
    assert_int_equal(mg_address_parse(&a, "b@c.d, e@f.g", pool), MG_EADDRESS);
    /* fields are read as they stand: what is stored is UTF-8 */
    assert_int_equal(mg_address_parse(&a, "B\xff <m\xfc@c.d>", pool),
                     MG_EADDRESS);
    /* a name never brings a line of its own */
    assert_int_equal(
        mg_address_parse(&a, "=?utf-8?q?x=0D=0ABcc:_y?= <b@c.d>", pool),
        APR_SUCCESS);
    assert_null(strpbrk(a->name, "\r\n"));
}

enum { ASCII = 0, UTF8 = 1, NULL_OK = 2 };
static const struct {
    const char *text;
    int flags;
    const char *address, *rest; /* address NULL: MG_EADDRESS */
} paths[] = {
    { "<a@b.c>", ASCII, "a@b.c", "" },
    { "<a@b.c> SIZE=100 BODY=8BITMIME", ASCII, "a@b.c",
      "SIZE=100 BODY=8BITMIME" },
    { "<a@B.C>", ASCII, "a@b.c", "" },
    { "<>", NULL_OK, "", "" },
    { "<> SIZE=1", NULL_OK, "", "SIZE=1" },
    { "<>", ASCII, NULL, NULL },
    { "<postmaster>", ASCII, "postmaster", "" },
    { "<PostMaster>", ASCII, "PostMaster", "" },
    { "<bob>", ASCII, NULL, NULL },
    { "<@a.b,@c.d:u@e.f>", ASCII, "u@e.f", "" },
    { "<@a.b:u@e.f>", ASCII, "u@e.f", "" },
    { "<@a.b u@e.f>", ASCII, NULL, NULL },
    { "<@a.b,u@e.f>", ASCII, NULL, NULL },
    { "<@:u@e.f>", ASCII, NULL, NULL },
    { "<\"a b\"@x.y>", ASCII, "\"a b\"@x.y", "" },
    { "<\"a>b\"@x.y> X", ASCII, "\"a>b\"@x.y", "X" },
    { "<\"a\\\"b\"@x.y>", ASCII, "\"a\\\"b\"@x.y", "" },
    { "<\"bob\"@x.y>", ASCII, "bob@x.y", "" },
    { "<\"\"@x.y>", ASCII, "\"\"@x.y", "" },
    { "<\"a@x.y>", ASCII, NULL, NULL },
    { "<a\"b@x.y>", ASCII, NULL, NULL },
    { "<a@[192.0.2.1]>", ASCII, "a@[192.0.2.1]", "" },
    { "<a@[IPv6:2001:db8::1]>", ASCII, "a@[ipv6:2001:db8::1]", "" },
    { "<a@[2001:db8::1]>", ASCII, NULL, NULL },
    { "<a@[192.0.2.256]>", ASCII, NULL, NULL },
    { "<a@[]>", ASCII, NULL, NULL },
    { "<a@localhost>", ASCII, "a@localhost", "" },
    { "a@b.c", ASCII, NULL, NULL },
    { " <a@b.c>", ASCII, NULL, NULL },
    { "<a@b.c", ASCII, NULL, NULL },
    { "<a@b.c>SIZE=1", ASCII, NULL, NULL },
    { "< a@b.c>", ASCII, NULL, NULL },
    { "<a@b.c >", ASCII, NULL, NULL },
    { "<a@b@c.d>", ASCII, NULL, NULL },
    { "<a.@b.c>", ASCII, NULL, NULL },
    { "<.a@b.c>", ASCII, NULL, NULL },
    { "<a..a@b.c>", ASCII, NULL, NULL },
    { "<a@.b.c>", ASCII, NULL, NULL },
    { "<a@b.c.>", ASCII, NULL, NULL },
    { "<a@b_c.d>", ASCII, NULL, NULL },
    { "<a@b-.d>", ASCII, NULL, NULL },
    { "<a\tb@c.d>", ASCII, NULL, NULL },
    { "<" A64 "@b.c>", ASCII, A64 "@b.c", "" },
    { "<" A64 "a@b.c>", ASCII, NULL, NULL },
    { "<a@" L63 "." L63 "." L63 "." L63 ">", ASCII, NULL, NULL },
    { "<j\xc3\xbc@x.de>", ASCII, NULL, NULL },
    { "<j\xc3\xbc@x.de>", UTF8, "j\xc3\xbc@x.de", "" },
    { "<a@\xe6\x97\xa5.jp>", UTF8, "a@\xe6\x97\xa5.jp", "" },
    { "<j\xfc@x.de>", UTF8, NULL, NULL },
    { "", ASCII, NULL, NULL },
    { "<", ASCII, NULL, NULL },
    { "<@>", ASCII, NULL, NULL },
};

static void test_path(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(paths); i++) {
        const char *rest = NULL;
        mg_address_t *a;
        apr_status_t rv = mg_address_parse_path(
            &a, &rest, paths[i].text, paths[i].flags & NULL_OK,
            paths[i].flags & UTF8, pool);

        if (paths[i].address == NULL) {
            if (rv != MG_EADDRESS)
                fail_msg("'%s' was taken", paths[i].text);
            continue;
        }
        if (rv != APR_SUCCESS)
            fail_msg("'%s' was refused", paths[i].text);
        assert_string_equal(a->address, paths[i].address);
        assert_string_equal(rest, paths[i].rest);
        if (strchr(a->address, '@') == NULL)
            assert_null(a->domain);
    }
}

static const struct {
    const char *domain;
    int ok;
} domains[] = {
    { "a.b", 1 }, { "samples.mailgun.test", 1 }, { "xn--wgv71a.jp", 1 },
    { "\xe6\x97\xa5.jp", 1 }, { "1.2", 1 }, { "a", 0 }, { "", 0 },
    { ".", 0 }, { "a..b", 0 }, { "-a.b", 0 }, { "a-.b", 0 }, { "a b.c", 0 },
    { "a.b.", 0 }, { "a/b.c", 0 }, { "\xfc.de", 0 }, { L63 ".de", 1 },
    { L63 "b.de", 0 },
};

static void test_domain(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(domains); i++) {
        if (mg_address_is_domain(domains[i].domain) != domains[i].ok)
            fail_msg("'%s'", domains[i].domain);
    }
}

#define L60 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
static const struct {
    const char *from, *sender;
} senders[] = {
    { "me@d.test", NULL },
    { "Me <me@D.Test>", NULL },
    { "me@other.test", "me=other.test@d.test" },
    { "me@mail.d.test", "me=mail.d.test@d.test" },
    { "me@\xe6\x97\xa5.jp", "me=xn--wgv.jp@d.test" },
    { "m\xc3\xa4@other.test", "postmaster@d.test" },
    { "\"a b\"@other.test", "postmaster@d.test" },
    { L60 "@other.test", "postmaster@d.test" },
};

static void test_sender(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(senders); i++) {
        mg_address_t *from;
        char *sender;

        assert_int_equal(mg_address_parse(&from, senders[i].from, pool),
                         APR_SUCCESS);
        sender = mg_address_sender(from, "d.test", pool);
        if (senders[i].sender)
            assert_string_equal(sender, senders[i].sender);
        else
            assert_null(sender);
    }
    assert_string_equal(mg_address_ascii_domain("\xe6\x97\xa5.jp", pool),
                        "xn--wgv.jp");
}

static void test_all_in(void **state)
{
    static const struct {
        const char *list, *domain;
        int all;
    } cases[] = {
        { "me@d.test", "d.test", 1 },
        { "me@D.test, Bob <bob@d.test>", "d.test", 1 },
        { "me@d.test, bob@other.test", "d.test", 0 },
        { "me@sub.d.test", "d.test", 0 },
        { "me@\xe6\x97\xa5.jp, me@xn--wgv.jp", "xn--wgv.jp", 1 },
        { "me@\xe6\x97\xa5.jp, me@xn--wgv.jp", "\xe6\x97\xa5.jp", 1 },
    };
    apr_array_header_t *list;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        assert_int_equal(mg_address_parse_list(&list, cases[i].list, pool),
                         APR_SUCCESS);
        if (mg_address_all_in(list, cases[i].domain, pool) != cases[i].all)
            fail_msg("'%s'", cases[i].list);
    }
}

UNIT_MAIN(cmocka_unit_test(test_list), cmocka_unit_test(test_one),
          cmocka_unit_test(test_path), cmocka_unit_test(test_domain),
          cmocka_unit_test(test_sender), cmocka_unit_test(test_all_in))
