/* test_notifier_guard.c - which addresses a customer's URL may reach. */
#include "unit_pool.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include "notifier.h"

/* allow: what MailgunHookAllow names, or NULL */
static const struct {
    const char *address, *allow;
    int passes;
} cases[] = {
    { "127.0.0.1", NULL, 0 },
    { "127.255.255.254", NULL, 0 },
    { "0.0.0.0", NULL, 0 },
    { "0.1.2.3", NULL, 0 },
    { "10.0.0.1", NULL, 0 },
    { "100.63.255.255", NULL, 1 },
    { "100.64.0.1", NULL, 0 },
    { "100.127.255.255", NULL, 0 },
    { "100.128.0.0", NULL, 1 },
    { "168.63.129.16", NULL, 0 },
    { "168.63.129.17", NULL, 1 },
    { "169.254.169.254", NULL, 0 },
    { "172.15.255.255", NULL, 1 },
    { "172.16.0.1", NULL, 0 },
    { "172.31.255.255", NULL, 0 },
    { "172.32.0.0", NULL, 1 },
    { "192.0.0.192", NULL, 0 },
    { "192.0.2.1", NULL, 0 },
    { "192.168.1.1", NULL, 0 },
    { "192.169.0.1", NULL, 1 },
    { "198.18.0.1", NULL, 0 },
    { "198.51.100.7", NULL, 0 },
    { "203.0.113.7", NULL, 0 },
    { "224.0.0.1", NULL, 0 },
    { "239.255.255.255", NULL, 0 },
    { "240.0.0.1", NULL, 0 },
    { "255.255.255.255", NULL, 0 },
    { "8.8.8.8", NULL, 1 },
    { "1.1.1.1", NULL, 1 },
    { "::", NULL, 0 },
    { "::1", NULL, 0 },
    { "::2", NULL, 0 },
    { "::127.0.0.1", NULL, 0 },
    { "::ffff:127.0.0.1", NULL, 0 },
    { "::ffff:10.0.0.1", NULL, 0 },
    { "::ffff:169.254.169.254", NULL, 0 },
    { "::ffff:8.8.8.8", NULL, 1 },
    { "::ffff:0:127.0.0.1", NULL, 0 },
    { "64:ff9b::127.0.0.1", NULL, 0 },
    { "64:ff9b::10.1.2.3", NULL, 0 },
    { "64:ff9b::8.8.8.8", NULL, 1 },
    { "64:ff9b:1::8.8.8.8", NULL, 0 },
    { "100::1", NULL, 0 },
    { "2001::1", NULL, 0 },
    { "2001:10::1", NULL, 0 },
    { "2001:db8::1", NULL, 0 },
    { "2001:4860:4860::8888", NULL, 1 },
    { "2002:7f00:1::1", NULL, 0 },
    { "2002:a00:1::", NULL, 0 },
    { "2002:808:808::1", NULL, 1 },
    { "2606:4700:4700::1111", NULL, 1 },
    { "fc00::1", NULL, 0 },
    { "fd12:3456::1", NULL, 0 },
    { "fd00:ec2::254", NULL, 0 },
    { "fe80::1", NULL, 0 },
    { "febf::1", NULL, 0 },
    { "fec0::1", NULL, 0 },
    { "ff02::1", NULL, 0 },
    { "4000::1", NULL, 0 },
    { "127.0.0.1", "127.0.0.0/8", 1 },
    { "127.0.0.1", "127.0.0.1", 1 },
    { "127.0.0.2", "127.0.0.1", 0 },
    { "::ffff:127.0.0.1", "127.0.0.0/8", 1 },
    { "::1", "127.0.0.0/8", 0 },
    { "::1", "::1", 1 },
    { "::2", "::1", 0 },
    { "10.1.2.3", "10.1.0.0/16", 1 },
    { "10.2.2.3", "10.1.0.0/16", 0 },
    { "10.1.2.3", "10.1.0.0/255.255.0.0", 1 },
    { "10.255.0.1", "10.0.0.0/9", 0 },
    { "10.127.0.1", "10.0.0.0/9", 1 },
    { "192.168.0.1", "10.0.0.0/8 192.168.0.0/24", 1 },
    { "fd00::1", "fc00::/7", 1 },
    { "fe80::1", "fc00::/7", 0 },
    { "10.1.2.3", "nonsense", 0 },
    { "10.1.2.3", "10.0.0.0/33", 0 },
    { "10.1.2.3", "0.0.0.0/0", 1 },
};

static notifier_guard_t *guard_of(const char *allow)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(char *));
    char *copy = apr_pstrdup(pool, allow ? allow : ""), *word, *last;

    for (word = apr_strtok(copy, " ", &last); word;
         word = apr_strtok(NULL, " ", &last))
        APR_ARRAY_PUSH(list, char *) = word;
    return notifier_guard_create(list, pool);
}

static void test_addresses(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        notifier_guard_t *guard = guard_of(cases[i].allow);
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
        struct sockaddr_in in = { .sin_family = AF_INET };
        const char *what = NULL;

        if (inet_pton(AF_INET, cases[i].address, &in.sin_addr) == 1)
            what = notifier_guard_refuses(guard, (struct sockaddr *)&in);
        else if (inet_pton(AF_INET6, cases[i].address, &in6.sin6_addr) == 1)
            what = notifier_guard_refuses(guard, (struct sockaddr *)&in6);
        else
            fail_msg("%s is no address", cases[i].address);
        if ((what == NULL) != cases[i].passes)
            fail_msg("%s with '%s': %s", cases[i].address,
                     cases[i].allow ? cases[i].allow : "",
                     what ? what : "passes");
    }
}

static void test_family(void **state)
{
    struct sockaddr other = { .sa_family = AF_UNIX };

    (void)state;
    assert_non_null(notifier_guard_refuses(guard_of("0.0.0.0/0 ::/0"),
                                           &other));
    assert_null(notifier_guard_refuses(
        notifier_guard_create(NULL, pool),
        (struct sockaddr *)&(struct sockaddr_in){
            .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x08080808) }));
}

/* Minutes by attempt, as the manual has them. */
static void test_schedule(void **state)
{
    static const int forward[] = { 10, 10, 15, 30, 60, 120, 240, 0 };
    static const int hook[] = { 10, 10, 10, 30, 30, 30, 30, 0 };
    int i;

    (void)state;
    for (i = 0; i < 8; i++) {
        assert_int_equal(notifier_retry_delay(0, i + 1),
                         apr_time_from_sec(60 * forward[i]));
        assert_int_equal(notifier_retry_delay(1, i + 1),
                         apr_time_from_sec(60 * hook[i]));
    }
    assert_int_equal(notifier_retry_delay(0, 0), 0);
    assert_int_equal(notifier_retry_delay(0, 100), 0);
}

UNIT_MAIN(cmocka_unit_test(test_addresses), cmocka_unit_test(test_family),
          cmocka_unit_test(test_schedule))
