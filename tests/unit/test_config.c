/* test_config.c - mailgun.conf: good lines, and the words for bad ones. */
#include "unit_pool.h"
#include "mg_config.h"
#include "mg_status.h"

#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

static const char *write_conf(const char *text)
{
    static char path[] = "/tmp/test_config.XXXXXX";
    static int fd = -1;

    if (fd < 0)
        fd = mkstemp(path);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(pwrite(fd, text, strlen(text), 0), strlen(text));
    return path;
}

static mg_config_t *good(const char *text)
{
    mg_config_t *config;
    const char *error = NULL;

    if (mg_config_read(&config, write_conf(text), &error, pool) != APR_SUCCESS)
        fail_msg("%s", error);
    return config;
}

static void test_defaults(void **state)
{
    mg_config_t *c = good("");

    (void)state;
    assert_string_equal(c->store, "sqlite:/var/lib/mailgun/mailgun.db");
    assert_string_equal(c->run_dir, "/run/mailgun");
    assert_string_equal(c->lmtp, "unix:/run/dovecot/lmtp");
    assert_true(*c->hostname);
    assert_int_equal(c->message_limit, 26214400);
    assert_int_equal(c->recipient_limit, 1000);
    assert_int_equal(c->command_timeout, apr_time_from_sec(300));
    assert_int_equal(c->retry->nelts, 7);
    assert_int_equal(APR_ARRAY_IDX(c->retry, 6, apr_interval_time_t),
                     apr_time_from_sec(4 * 3600));
    assert_int_equal(c->listen->nelts, 1);
    assert_int_equal(c->transports->nelts, 0);
    assert_int_equal(c->smtp_port, 25);
    assert_int_equal(c->relaxed, 0);
    assert_int_equal(c->auth_without_tls, MG_NOTLS_AUTH_OFF);
    assert_null(c->tls_certificate);
    assert_string_equal(c->log_level, "info");
}

static void test_syntax(void **state)
{
    mg_config_t *c = good(
        "# a comment\n"
        "\n"
        "   mailgunsenders   3\n"
        "<IfModule mailgun_module>\n"
        "\tMailgunSpoolDir \"/tmp/a \\\"b\\\" \\\\c\"\r\n"
        "</IfModule>\n"
        "MailgunRetry 1m \\\n"
        "    2m '3m'\n"
        "MailgunRunDir '/run/it\\'s'\n"
        "MailgunMailDir /a\n"
        "MailgunMailDir /b");

    (void)state;
    assert_int_equal(c->senders, 3);
    assert_string_equal(c->spool_dir, "/tmp/a \"b\" \\c");
    assert_int_equal(c->retry->nelts, 3);
    assert_int_equal(APR_ARRAY_IDX(c->retry, 2, apr_interval_time_t),
                     apr_time_from_sec(180));
    assert_string_equal(c->run_dir, "/run/it's");
    assert_string_equal(c->mail_dir, "/b");
}

static void test_lists(void **state)
{
    mg_config_t *c = good(
        "MailgunListen 127.0.0.1:2525 mx\n"
        "MailgunListen [::1]:2587 Submission\n"
        "MailgunListen *:465 smtps\n"
        "MailgunTLSCertificate /c.pem\nMailgunTLSKey /k.pem\n"
        "MailgunTransport Example.COM relay.example.com\n"
        "MailgunTransport * [::1]:2526\n"
        "MailgunResolver 127.0.0.1:5353 ::1\n"
        "MailgunResolver [::1]:54\n"
        "MailgunHookAllow 127.0.0.0/8 fd00::/8\n"
        "MailgunLMTP 127.0.0.1:24\n"
        "MailgunSendingIP a 192.0.2.1 out1.example.com\n"
        "MailgunSendingIP a 2001:db8::1\n"
        "MailgunSendingIP b 192.0.2.2 since=2001-09-09\n"
        "MailgunSendingPool default a b\n");
    mg_sending_ip_t *ips = (mg_sending_ip_t *)c->sending_ips->elts;
    mg_listen_t *l = (mg_listen_t *)c->listen->elts;
    mg_transport_t *t = (mg_transport_t *)c->transports->elts;

    (void)state;
    assert_int_equal(c->sending_ips->nelts, 2);
    assert_string_equal(ips[0].v4, "192.0.2.1");
    assert_string_equal(ips[0].v6, "2001:db8::1");
    assert_string_equal(ips[0].hello, "out1.example.com");
    assert_null(ips[1].v6);
    assert_int_equal(ips[0].since, 0);
    assert_int_equal(apr_time_sec(ips[1].since), 1000000000 - 6400);
    assert_int_equal(c->sending_pools->nelts, 1);
    assert_int_equal(c->listen->nelts, 3);
    assert_string_equal(l[0].address, "127.0.0.1");
    assert_int_equal(l[0].port, 2525);
    assert_int_equal(l[0].role, MG_LISTEN_MX);
    assert_string_equal(l[1].address, "::1");
    assert_int_equal(l[1].role, MG_LISTEN_SUBMISSION);
    assert_string_equal(l[2].address, "*");
    assert_int_equal(l[2].role, MG_LISTEN_SMTPS);
    assert_int_equal(c->transports->nelts, 2);
    assert_string_equal(t[0].domain, "example.com");
    assert_string_equal(t[0].host, "relay.example.com");
    assert_int_equal(t[0].port, 25);
    assert_string_equal(t[1].domain, "*");
    assert_string_equal(t[1].host, "::1");
    assert_int_equal(t[1].port, 2526);
    assert_int_equal(c->resolvers->nelts, 3);
    assert_int_equal(c->hook_allow->nelts, 2);
}

/* What follows "path:", which is the temporary file's. */
static const struct {
    const char *text;
    const char *error;
} bad[] = {
    { "\n# x\nMailgunSenders x\n",
      "3: MailgunSenders: 'x' is no number; try 2" },
    { "MailgunRetry 1m \\\n 2m\nMailgunSenders 0",
      "3: MailgunSenders: '0' is not within 1 and 64; try 2" },
    { "MailgunSenders 99999999999999999999",
      "1: MailgunSenders: '99999999999999999999' is not within 1 and 64; "
      "try 2" },
    { "MailgunSenders", "1: MailgunSenders takes: number" },
    { "MailgunSenders 1 2", "1: MailgunSenders takes: number" },
    { "Listen 80", "1: Listen: there is no such directive; mailgunctl config "
                   "lists all" },
    { "MailgunSendrs 1", "1: MailgunSendrs: there is no such directive; "
                         "mailgunctl config lists all" },
    { "<VirtualHost *>", "1: <VirtualHost: of sections only <IfModule> may "
                         "stand here" },
    { "MailgunStore \"sqlite:/a", "1: MailgunStore: a quote is not closed" },
    { "MailgunStore mysql:x",
      "1: MailgunStore: 'mysql:x' is no store; try "
      "sqlite:/var/lib/mailgun/mailgun.db or postgresql://user@host/mailgun" },
    { "MailgunRunDir run",
      "1: MailgunRunDir: 'run' is no absolute path; try /run/mailgun" },
    { "MailgunHostname a_b", "1: MailgunHostname: 'a_b' is no host name; try "
                             "mail.example.com" },
    { "MailgunMessageLimit lots",
      "1: MailgunMessageLimit: 'lots' is no size; try 26214400 or 25M" },
    { "MailgunLease 0", "1: MailgunLease: '0' is no length of time; try "
                        "120s" },
    { "MailgunDurability most",
      "1: MailgunDurability: 'most' is none of full, relaxed" },
    { "MailgunListen 25 mx", "1: MailgunListen: '25' is no address and port; "
                             "try *:25 or [::1]:2525" },
    { "MailgunListen ::1:25 mx", "1: MailgunListen: '::1:25' is no address "
                                 "and port; try *:25 or [::1]:2525" },
    { "MailgunListen *:70000 mx", "1: MailgunListen: '*:70000' is no address "
                                  "and port; try *:25 or [::1]:2525" },
    { "MailgunListen *:25 smtp",
      "1: MailgunListen: 'smtp' is none of mx, submission, smtps" },
    { "MailgunListen *:25", "1: MailgunListen takes: address:port "
                            "mx|submission|smtps" },
    { "MailgunSendingIP a/b 192.0.2.1", "1: MailgunSendingIP: 'a/b' is no "
      "name; try a word of letters, digits, - and _" },
    { "MailgunSendingIP a 192.0.2", "1: MailgunSendingIP: '192.0.2' is no "
      "address; try 192.0.2.1" },
    { "MailgunSendingIP a 192.0.2.1 a@b", "1: MailgunSendingIP: 'a@b' is no "
      "host name; try out1.example.com" },
    { "MailgunSendingIP a 192.0.2.1 since=2026-13-01", "1: MailgunSendingIP: "
      "'since=2026-13-01' is no day; try since=2026-11-25" },
    { "MailgunSendingIP a 192.0.2.1\nMailgunSendingIP a 192.0.2.2",
      "2: MailgunSendingIP: 'a' has the address 192.0.2.1 already" },
    { "MailgunSendingPool p", "1: MailgunSendingPool takes: name "
      "address-name ..." },
    { "MailgunSendingIP a 192.0.2.1\nMailgunSendingPool p a b",
      " MailgunSendingPool: p: there is no MailgunSendingIP b" },
    { "MailgunSendingIP a 192.0.2.1\nMailgunSendingPool p a\n"
      "MailgunSendingPool p a",
      "3: MailgunSendingPool: there is a pool 'p' already" },
    { "MailgunDANE maybe", "1: MailgunDANE: 'maybe' is none of off, on, "
      "auto" },
    { "MailgunDestination a.test", "1: MailgunDestination takes: pattern "
      "[connections=number] [messages=number] [rate=number/s|m|h]" },
    { "MailgunDestination a*b rate=1/s", "1: MailgunDestination: 'a*b' is no "
      "domain; try example.com or *.example.com" },
    { "MailgunDestination * rate=10/d", "1: MailgunDestination: 'rate=10/d' is "
      "no limit; try connections=10, messages=100 or rate=10/s" },
    { "MailgunWarmup growth=5", "1: MailgunWarmup: first= is missing; try "
      "first=200" },
    { "MailgunWarmup first=x", "1: MailgunWarmup: 'first=x' is no part of a "
      "plan; try first=200 growth=50 days=30" },
    { "MailgunShare a@b 2", "1: MailgunShare: 'a@b' is no domain; try "
      "example.com" },
    { "MailgunShare a.test 0", "1: MailgunShare: '0' is no number within 1 and "
      "1000; try 5" },
    { "MailgunShare a.test", "1: MailgunShare takes: domain number" },
    { "MailgunTransport * a:b", "1: MailgunTransport: 'a:b' is no host; try "
                                "127.0.0.1:2525 or mx.example.com" },
    { "MailgunTrackingHost email.<domain>.x", "1: MailgunTrackingHost: "
      "'email.<domain>.x' is no host name; try email.<domain> or "
      "links.example.com" },
    { "MailgunTrackingHost x<domain>", "1: MailgunTrackingHost: 'x<domain>' is "
      "no host name; try email.<domain> or links.example.com" },
    { "MailgunTrackingHost links", "1: MailgunTrackingHost: 'links' is no host "
      "name; try email.<domain> or links.example.com" },
    { "MailgunTrackingHost http://a.test", "1: MailgunTrackingHost: "
      "'http://a.test' is no host name; try email.<domain> or "
      "links.example.com" },
    { "MailgunFeedbackAddress f bl", "1: MailgunFeedbackAddress: '' is no "
      "address; try fbl or fbl@example.com" },
    { "MailgunFeedbackAddress f(l@a.test", "1: MailgunFeedbackAddress: "
      "'f(l@a.test' is no address; try fbl or fbl@example.com" },
    { "MailgunFeedbackAddress @a.test", "1: MailgunFeedbackAddress: '@a.test' "
      "is no address; try fbl or fbl@example.com" },
    { "MailgunMachineDelay soon", "1: MailgunMachineDelay: 'soon' is no "
      "length of time; try 2s or off" },
    { "MailgunTrackingScheme ftp", "1: MailgunTrackingScheme: 'ftp' is none of "
      "http, https" },
    { "MailgunSpamd spamd.test:783", "1: MailgunSpamd: 'spamd.test:783' is no "
      "address and port; try 127.0.0.1:783 or unix:/run/spamd.sock" },
    { "MailgunSpamd 127.0.0.1", "1: MailgunSpamd: '127.0.0.1' is no address "
      "and port; try 127.0.0.1:783 or unix:/run/spamd.sock" },
    { "MailgunSpamd a b", "1: MailgunSpamd takes: unix:path|address:port" },
    { "MailgunSpamThreshold high", "1: MailgunSpamThreshold: 'high' is no "
      "score; try 5.0" },
    { "MailgunSpamConcurrency 0", "1: MailgunSpamConcurrency: '0' is not "
      "within 1 and 1000; try 10" },
    { "MailgunSpamFolder Junk*", "1: MailgunSpamFolder: 'Junk*' is no folder; "
      "try Junk" },
    { "MailgunLMTP lmtp", "1: MailgunLMTP: 'lmtp' is no LMTP server; try "
                          "unix:/run/dovecot/lmtp or 127.0.0.1:24" },
    { "MailgunResolver dns.example", "1: MailgunResolver: 'dns.example' is no "
                                     "address; try 127.0.0.1 or "
                                     "127.0.0.1:5353" },
    { "MailgunHookAllow 10.0.0.0/99", "1: MailgunHookAllow: '10.0.0.0/99' is "
                                      "no network; try 10.0.0.0/8 or "
                                      "127.0.0.1" },
    { "MailgunTLSKey /k", " MailgunTLSKey needs MailgunTLSCertificate" },
    { "MailgunListen *:465 smtps", " MailgunListen: port 465, smtps needs "
                                   "MailgunTLSCertificate" },
};

static void test_bad(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(bad); i++) {
        const char *path = write_conf(bad[i].text), *error = NULL;
        mg_config_t *config;

        assert_int_equal(mg_config_read(&config, path, &error, pool),
                         MG_ECONFIG);
        assert_null(config);
        assert_string_equal(error, apr_pstrcat(pool, path, ":", bad[i].error,
                                               NULL));
    }
}

static void test_tracking_host(void **state)
{
    static const struct {
        const char *line, *host;
        int is_own;
    } cases[] = {
        { "", "email.a.test", 1 },
        { "MailgunTrackingHost Links.<domain>", "links.a.test", 1 },
        { "MailgunTrackingHost <domain>", "a.test", 1 },
        { "MailgunTrackingHost t.example.com", "t.example.com", 0 },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_config_t *config = good(cases[i].line);

        assert_string_equal(mg_config_tracking_host(config, "a.test", pool),
                            cases[i].host);
        assert_int_equal(mg_config_tracking_host_is_own(config),
                         cases[i].is_own);
    }
}

static void test_no_file(void **state)
{
    mg_config_t *config;
    const char *error;

    (void)state;
    assert_int_equal(mg_config_read(&config, "/nonexistent/mailgun.conf",
                                    &error, pool), MG_ECONFIG);
    assert_string_equal(error, "/nonexistent/mailgun.conf: No such file or "
                               "directory");
    assert_int_equal(mg_config_read(&config, "/tmp", &error, pool),
                     MG_ECONFIG);
    unlink(write_conf(""));
}

static void test_table(void **state)
{
    const mg_directive_t *d;
    int i, n;

    (void)state;
    d = mg_config_directives(&n);
    for (i = 0; i < n; i++) {
        assert_memory_equal(d[i].name, "Mailgun", 7);
        assert_true(*d[i].args && *d[i].help);
        assert_int_equal(d[i].help[strlen(d[i].help) - 1], '.');
        if (i)
            assert_true(strcasecmp(d[i - 1].name, d[i].name) < 0);
        assert_ptr_equal(mg_config_find(d[i].name), &d[i]);
    }
    assert_null(mg_config_find("Listen"));
}

UNIT_MAIN(cmocka_unit_test(test_defaults), cmocka_unit_test(test_syntax),
          cmocka_unit_test(test_lists), cmocka_unit_test(test_bad),
          cmocka_unit_test(test_tracking_host), cmocka_unit_test(test_no_file), cmocka_unit_test(test_table))
