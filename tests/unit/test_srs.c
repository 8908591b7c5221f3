/* test_srs.c - senders of what is forwarded, made and read back (mg_srs.h). */
#include <string.h>
#include <strings.h>
#include <apr_strings.h>

#include "mg_srs.h"
#include "mg_status.h"
#include "mg_text.h"
#include "unit_pool.h"

#define DAY APR_TIME_C(86400000000)
#define NOW (DAY * 18000)

static const unsigned char key[32] = "0123456789abcdef0123456789abcde";

static char *make(const char *sender)
{
    return mg_srs_make(key, sender, "fwd.test", 0x123456789abcdef, NOW, pool);
}

static apr_status_t read_back(mg_srs_t *srs, const char *address,
                              apr_time_t now)
{
    const char *at = strrchr(address, '@');

    return mg_srs_read(srs, key,
                       apr_pstrmemdup(pool, address,
                                      (apr_size_t)(at - address)), at + 1,
                       now, pool);
}

static void there_and_back(void **state)
{
    static const struct {
        const char *sender, *prefix, *back;   /* NULL: by the message */
    } cases[] = {
        { "bob@example.com", "SRS0=", "bob@example.com" },
        { "Bob.Lee+tag@Example.com", "SRS0=", "Bob.Lee+tag@Example.com" },
        { "a=b@example.com", "SRS0=", "a=b@example.com" },
        { "bounce+abc.1-x=y.test@m.test", "SRS0=",
          "bounce+abc.1-x=y.test@m.test" },
        { "SRS0=abcd=ef=orig.test=bob@first.test", "SRS1=",
          "SRS0=abcd=ef=orig.test=bob@first.test" },
        { "srs0+abcd=ef=orig.test=bob@first.test", "SRS1=",
          "SRS0+abcd=ef=orig.test=bob@first.test" },
        { "SRS1=wxyz=first.test==abcd=ef=o.test=b@second.test", "SRS1=",
          "SRS0=abcd=ef=o.test=b@first.test" },
        { "a.very.long.local.part.of.somebody@and-a-very-long.domain.test",
          "SRSM=", NULL },
        { "\"a b\"@example.com", "SRSM=", NULL },
        { "b\xc3\xb6@example.com", "SRSM=", NULL },
        { "nobody", "SRSM=", NULL },
    };
    mg_srs_t srs;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        char *address = make(cases[i].sender);

        if (strncmp(address, cases[i].prefix, 5) != 0)
            fail_msg("%s: %s", cases[i].sender, address);
        assert_true(strchr(address, '@') - address <= 64);
        assert_int_equal(read_back(&srs, address, NOW), APR_SUCCESS);
        if (cases[i].back) {
            if (strcasecmp(srs.address, cases[i].back) != 0)
                fail_msg("%s: %s", cases[i].sender, srs.address);
        }
        else {
            assert_null(srs.address);
            assert_int_equal(srs.message_id, 0x123456789abcdef);
        }
        /* hosts that write local parts in lower case */
        assert_int_equal(read_back(&srs, mg_text_lower(address, pool), NOW),
                         APR_SUCCESS);
    }
}

static void refused(void **state)
{
    static const struct {
        const char *address;
        apr_status_t want;
    } cases[] = {
        { "bob@fwd.test", APR_ENOENT }, { "SRS@fwd.test", APR_ENOENT },
        { "SRS0@fwd.test", APR_ENOENT }, { "SRS0=abc@fwd.test", APR_ENOENT },
        { "SRS2=aaaaaaaa=tt=a.test=b@fwd.test", APR_ENOENT },
        { "SRS0=aaaaaaaa=tt=a.test=b@fwd.test", MG_EDENIED },
        { "SRSM=aaaaaaaa=tt=1@fwd.test", MG_EDENIED },
    };
    char *address = make("bob@example.com"), *other;
    mg_srs_t srs;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        assert_int_equal(read_back(&srs, cases[i].address, NOW),
                         cases[i].want);
    /* in time */
    assert_int_equal(read_back(&srs, address, NOW + MG_SRS_DAYS * DAY),
                     APR_SUCCESS);
    assert_int_equal(read_back(&srs, address, NOW + (MG_SRS_DAYS + 1) * DAY),
                     MG_EDENIED);
    assert_int_equal(read_back(&srs, address, NOW - DAY), MG_EDENIED);
    /* each letter counts, and so does the domain */
    for (i = 0; i < strlen(address); i++) {
        other = apr_pstrdup(pool, address);
        other[i] = other[i] == 'x' ? 'y' : 'x';
        if (strchr(other, '@'))
            assert_int_not_equal(read_back(&srs, other, NOW), APR_SUCCESS);
    }
    assert_int_equal(mg_srs_read(&srs, key,
                                 apr_pstrndup(pool, address,
                                              (apr_size_t)(strchr(address, '@')
                                                           - address)),
                                 "other.test", NOW, pool), MG_EDENIED);
}

UNIT_MAIN(cmocka_unit_test(there_and_back), cmocka_unit_test(refused))
