/* test_track.c - tokens of tracking links (mg_track.h). */
#include "unit_dir.h"
#include "unit_pool.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_track.h"
#include "mg_track_private.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOMAIN APR_INT64_C(0x123456789abcdef)
#define MESSAGE APR_INT64_C(0x7edcba9876543210)

static char dir[256];
static mg_track_keys_t *keys, *other_keys;

static const char *path_of(const char *name)
{
    return apr_pstrcat(pool, dir, "/", name, NULL);
}

static void write_text(const char *name, const char *text)
{
    FILE *f = fopen(path_of(name), "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int make_dir(void **state)
{
    (void)state;
    assert_int_not_equal(unit_dir_make(dir, sizeof(dir), "track"), 0);
    assert_int_equal(mg_track_keys_create(path_of("a"), pool), APR_SUCCESS);
    assert_int_equal(mg_track_keys_create(path_of("b"), pool), APR_SUCCESS);
    assert_int_equal(mg_track_keys_load(&keys, path_of("a"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_keys_load(&other_keys, path_of("b"), pool),
                     APR_SUCCESS);
    return 0;
}

static int remove_dir(void **state)
{
    (void)state;
    unit_dir_remove(dir);
    return 0;
}

/* --- links --- */

static char *long_text(const char *begin, apr_size_t len)
{
    char *text = apr_palloc(pool, len + 1);

    memset(text, 'x', len);
    memcpy(text, begin, strlen(begin));
    text[len] = '\0';
    return text;
}

static const struct {
    mg_track_kind_t kind;
    const char *recipient, *text;
    apr_status_t rv;
} makes[] = {
    { MG_TRACK_OPEN, "bob@x.test", NULL, APR_SUCCESS },
    { MG_TRACK_OPEN, "bob@x.test", "", APR_SUCCESS },
    { MG_TRACK_OPEN, "bob@x.test", "http://x.test/", MG_EBADINPUT },
    { MG_TRACK_OPEN, "", NULL, MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "http://x.test/", APR_SUCCESS },
    { MG_TRACK_CLICK, "j\xc3\xbc@x.test", "HTTPS://x.test/?a=b&c=\xc3\xbc#d",
      APR_SUCCESS },
    { MG_TRACK_CLICK, "bob@x.test", "http://x.test/a b", APR_SUCCESS },
    { MG_TRACK_CLICK, "bob@x.test", "", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "http://", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "http:///x", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "//x.test/", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "javascript:alert(1)", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "mailto:a@x.test", MG_EBADINPUT },
    { MG_TRACK_CLICK, "bob@x.test", "http://x.test/\r\nSet-Cookie: a=b",
      MG_EBADINPUT },
    { MG_TRACK_CLICK, "b\nob@x.test", "http://x.test/", MG_EBADINPUT },
    { MG_TRACK_UNSUBSCRIBE, "bob@x.test", NULL, APR_SUCCESS },
    { MG_TRACK_UNSUBSCRIBE_TAGS, "bob@x.test", NULL, APR_SUCCESS },
    { MG_TRACK_UNSUBSCRIBE_TAGS, "bob@x.test", "one\ntwo tags", APR_SUCCESS },
    { MG_TRACK_UNSUBSCRIBE_TAGS, "bob@x.test", "one\rtwo", MG_EBADINPUT },
    { MG_TRACK_UNSUBSCRIBE_LIST, "bob@x.test", "list@a.test", APR_SUCCESS },
    { MG_TRACK_UNSUBSCRIBE_LIST, "bob@x.test", NULL, MG_EBADINPUT },
    { 0, "bob@x.test", NULL, MG_EBADINPUT },
    { 9, "bob@x.test", NULL, MG_EBADINPUT },
};

static void makes_and_reads(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(makes); i++) {
        mg_track_t track = { makes[i].kind, DOMAIN, MESSAGE,
                             makes[i].recipient, makes[i].text }, back;
        char *token;

        if (mg_track_make(&token, keys, &track, pool) != makes[i].rv)
            fail_msg("%d %s", (int)i, makes[i].text);
        if (makes[i].rv != APR_SUCCESS) {
            assert_null(token);
            continue;
        }
        assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijkl"
                                "mnopqrstuvwxyz0123456789-_"), strlen(token));
        assert_int_equal(mg_track_read(&back, keys, token, pool), APR_SUCCESS);
        assert_int_equal(back.kind, track.kind);
        assert_true(back.domain_id == DOMAIN && back.message_id == MESSAGE);
        assert_string_equal(back.recipient, track.recipient);
        assert_string_equal(back.text, track.text ? track.text : "");
        assert_int_equal(mg_track_read(&back, other_keys, token, pool),
                         MG_EDENIED);
    }
}

static void has_limits(void **state)
{
    mg_track_t track = { MG_TRACK_CLICK, DOMAIN, MESSAGE,
                         long_text("b@", MG_TRACK_RECIPIENT_MAX),
                         long_text("http://x.test/", MG_TRACK_TEXT_MAX) };
    mg_track_t back;
    char *token;

    (void)state;
    assert_int_equal(mg_track_make(&token, keys, &track, pool), APR_SUCCESS);
    assert_true(strlen(token) < 6000); /* httpd's LimitRequestLine is 8190 */
    assert_int_equal(mg_track_read(&back, keys, token, pool), APR_SUCCESS);
    assert_int_equal(strlen(back.text), MG_TRACK_TEXT_MAX);
    assert_int_equal(mg_track_read(&back, keys, apr_pstrcat(
        pool, token, "AAAA", NULL), pool), APR_ENOENT);
    assert_int_not_equal(mg_track_read(&back, keys, long_text("E", 1000000),
                                       pool), APR_SUCCESS);
    track.text = long_text("http://x.test/", MG_TRACK_TEXT_MAX + 1);
    assert_int_equal(mg_track_make(&token, keys, &track, pool), MG_EBADINPUT);
    track.text = "http://x.test/";
    track.recipient = long_text("b@", MG_TRACK_RECIPIENT_MAX + 1);
    assert_int_equal(mg_track_make(&token, keys, &track, pool), MG_EBADINPUT);
}

static char *a_token(void)
{
    mg_track_t track = { MG_TRACK_CLICK, DOMAIN, MESSAGE, "bob@x.test",
                         "https://x.test/y" };
    char *token;

    assert_int_equal(mg_track_make(&token, keys, &track, pool), APR_SUCCESS);
    return token;
}

/* Not one of its characters can be another, and none can be missing. */
static void forged(void **state)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnop"
                                  "qrstuvwxyz0123456789-_=+/. %";
    char *token = a_token();
    apr_size_t len = strlen(token), i, j;
    mg_track_t back;

    (void)state;
    for (i = 0; i < len; i++) {
        char was = token[i];

        for (j = 0; j < sizeof(letters) - 1; j++) {
            if (letters[j] == was)
                continue;
            token[i] = letters[j];
            if (mg_track_read(&back, keys, token, pool) == APR_SUCCESS)
                fail_msg("%s", token);
        }
        token[i] = '\0';
        if (mg_track_read(&back, keys, token, pool) == APR_SUCCESS)
            fail_msg("%s", token);
        token[i] = was;
    }
    assert_int_equal(mg_track_read(&back, keys, token, pool), APR_SUCCESS);
    for (j = 0; j < sizeof(letters) - 1; j++)
        assert_int_not_equal(
            mg_track_read(&back, keys, apr_psprintf(pool, "%s%c", token,
                                                    letters[j]), pool),
            APR_SUCCESS);
    assert_int_equal(mg_track_read(&back, keys, token + 1, pool), APR_ENOENT);
    assert_int_equal(mg_track_read(&back, keys, "", pool), APR_ENOENT);
    assert_int_equal(mg_track_read(&back, keys, "eJxNyMENgCAMAMBV", pool),
                     APR_ENOENT);
}

/* The ids in it are what the signature is about. */
static void moved_to_another_domain(void **state)
{
    mg_track_t track = { MG_TRACK_OPEN, DOMAIN, MESSAGE, "bob@x.test", NULL };
    mg_track_t back;
    char *one, *two;

    (void)state;
    assert_int_equal(mg_track_make(&one, keys, &track, pool), APR_SUCCESS);
    track.domain_id++;
    assert_int_equal(mg_track_make(&two, keys, &track, pool), APR_SUCCESS);
    /* all but the MAC of the one, the MAC of the other */
    assert_int_equal(strlen(one), strlen(two));
    memcpy(one, two, strlen(one) - 22);
    assert_int_equal(mg_track_read(&back, keys, one, pool), MG_EDENIED);
}

static void urls(void **state)
{
    mg_track_t track = { MG_TRACK_CLICK, DOMAIN, MESSAGE, "bob@x.test",
                         "http://x.test/" };
    static const char letters[] = { 'o', 'c', 'u', 'u', 'u' };
    char *url, *want, *token;
    int i;

    (void)state;
    for (i = MG_TRACK_OPEN; i <= MG_TRACK_UNSUBSCRIBE_LIST; i++)
        assert_int_equal(mg_track_letter(i), letters[i - 1]);
    assert_int_equal(mg_track_make(&token, keys, &track, pool), APR_SUCCESS);
    assert_int_equal(mg_track_url(&url, keys, &track, "https", "email.a.test",
                                  pool), APR_SUCCESS);
    want = apr_pstrcat(pool, "https://email.a.test/c/", token, NULL);
    assert_string_equal(url, want);
    track.text = "ftp://x.test/";
    assert_int_equal(mg_track_url(&url, keys, &track, "https", "email.a.test",
                                  pool), MG_EBADINPUT);
    assert_null(url);
}

static void tags(void **state)
{
    apr_array_header_t *list = apr_array_make(pool, 3, sizeof(char *)), *back;
    char *text;

    (void)state;
    assert_null(mg_track_tags(NULL, pool));
    assert_null(mg_track_tags(list, pool));
    APR_ARRAY_PUSH(list, const char *) = "one";
    APR_ARRAY_PUSH(list, const char *) = "two tags, with a comma";
    text = mg_track_tags(list, pool);
    back = mg_track_tags_of(text, pool);
    assert_int_equal(back->nelts, 2);
    assert_string_equal(APR_ARRAY_IDX(back, 0, char *), "one");
    assert_string_equal(APR_ARRAY_IDX(back, 1, char *),
                        "two tags, with a comma");
    assert_int_equal(mg_track_tags_of(NULL, pool)->nelts, 0);
    assert_int_equal(mg_track_tags_of("\n\n", pool)->nelts, 0);
}

/* --- by mail --- */

static void by_mail(void **state)
{
    mg_track_t track = { MG_TRACK_UNSUBSCRIBE, DOMAIN, MESSAGE, "Bob@X.test",
                         NULL };
    mg_track_mail_t mail;
    char *local, *c;
    apr_size_t i;

    (void)state;
    assert_int_equal(mg_track_mail_make(&local, keys, &track, pool),
                     APR_SUCCESS);
    assert_int_equal(strlen(local), 54);
    assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN, local),
                     APR_SUCCESS);
    assert_int_equal(mail.kind, MG_TRACK_UNSUBSCRIBE);
    assert_true(mail.domain_id == DOMAIN && mail.message_id == MESSAGE);
    assert_true(mg_track_mail_is_for(&mail, keys, "bob@x.TEST"));
    assert_false(mg_track_mail_is_for(&mail, keys, "bob@y.test"));
    assert_false(mg_track_mail_is_for(&mail, keys, ""));
    assert_false(mg_track_mail_is_for(&mail, keys, long_text("b@", 1000)));
    assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN + 1, local),
                     MG_EDENIED);
    assert_int_equal(mg_track_mail_read(&mail, other_keys, DOMAIN, local),
                     MG_EDENIED);
    for (c = local; *c; c++)   /* some servers shout */
        *c = (char)(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
    assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN, local),
                     APR_SUCCESS);
    for (i = 2; local[i]; i++) {
        char was = local[i];

        local[i] = was == 'A' ? 'B' : 'A';
        if (mg_track_mail_read(&mail, keys, DOMAIN, local) == APR_SUCCESS)
            fail_msg("%s", local);
        local[i] = '\0';
        assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN, local),
                         APR_ENOENT);
        local[i] = was;
    }
    assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN, apr_pstrcat(
        pool, local, "a", NULL)), APR_ENOENT);
}

static const char *const no_locals[] = {
    "", "u", "u+", "bob", "u+bob", "postmaster", "bounce+0123",
    /* right in form, of no kind that is mailed */
    "u+aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "u+eeaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    /* the last four bits of 260 */
    "u+cmaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
    "u+cma=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
};

static void no_mail(void **state)
{
    mg_track_mail_t mail;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(no_locals); i++)
        if (mg_track_mail_read(&mail, keys, DOMAIN, no_locals[i])
            != APR_ENOENT)
            fail_msg("%s", no_locals[i]);
    assert_int_equal(mg_track_mail_read(&mail, keys, DOMAIN,
        "u+cmaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        MG_EDENIED);
}

/* --- secrets --- */

/* Ours is OpenSSL's HKDF. */
static void derives(void **state)
{
    unsigned char raw[32], want[32], got[32], info[64];
    char text[128], digest[] = "SHA256", salt[] = "mailgun-tracking";
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(kdf);
    apr_size_t n = strlen(MG_TRACK_FOR_LINK);
    mg_track_keys_t *mine;
    OSSL_PARAM params[5];

    (void)state;
    memset(raw, 0xab, sizeof(raw));
    apr_snprintf(text, sizeof(text), "mailgun-tracking 1\nkey 7 %s\n",
                 mg_text_hex(raw, sizeof(raw), pool));
    write_text("fixed", text);
    assert_int_equal(mg_track_keys_load(&mine, path_of("fixed"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_newest(mine), 7);
    memcpy(info, MG_TRACK_FOR_LINK, n);
    memcpy(info + n, "\x00\x00\x00\x00\x00\x00\x00\x05\x07", 9);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest,
                                                 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, raw, 32);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt,
                                                  strlen(salt));
    params[3] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info,
                                                  n + 9);
    params[4] = OSSL_PARAM_construct_end();
    assert_int_equal(EVP_KDF_derive(ctx, want, sizeof(want), params), 1);
    assert_int_equal(mg_track_derive(got, mine, 7, MG_TRACK_FOR_LINK, 5),
                     APR_SUCCESS);
    assert_memory_equal(got, want, 32);
    assert_int_equal(mg_track_derive(got, mine, 1, MG_TRACK_FOR_LINK, 5),
                     MG_EDENIED);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *const damaged[] = {
    "", "\n", "mailgun-secret 1\nkey 1 " HEX64 "\n", "mailgun-tracking 1\n",
    "mailgun-tracking 1\nkey 0 " HEX64 "\n",
    "mailgun-tracking 1\nkey 256 " HEX64 "\n",
    "mailgun-tracking 1\nkey x " HEX64 "\n",
    "mailgun-tracking 1\nkey 1 " HEX64,
    "mailgun-tracking 1\nkey 1 " HEX64 "00\n",
    "mailgun-tracking 1\nkey 1 0011\n",
    "mailgun-tracking 1\nkey 2 " HEX64 "\nkey 1 " HEX64 "\n",
    "mailgun-tracking 1\nkey 1 " HEX64 "\nkey 1 " HEX64 "\n",
    "mailgun-tracking 1\nkey 1 " HEX64 "\nand more\n",
};

static void refuses_damaged_files(void **state)
{
    mg_track_t track = { MG_TRACK_OPEN, DOMAIN, MESSAGE, "bob@x.test", NULL };
    mg_track_keys_t *mine;
    char *token;
    size_t i;
    int id;

    (void)state;
    for (i = 0; i < COUNT(damaged); i++) {
        write_text("damaged", damaged[i]);
        if (mg_track_keys_load(&mine, path_of("damaged"), pool) != MG_ECRYPT)
            fail_msg("%s", damaged[i]);
        assert_int_equal(mg_track_make(&token, mine, &track, pool), MG_ECRYPT);
        assert_int_equal(mg_track_mail_make(&token, mine, &track, pool),
                         MG_ECRYPT);
        assert_int_equal(mg_track_read(&track, mine, a_token(), pool),
                         MG_EDENIED);
        track.kind = MG_TRACK_OPEN;
        track.recipient = "bob@x.test";
        assert_int_equal(mg_track_keys_create(path_of("damaged"), pool),
                         MG_ECRYPT);
        assert_int_equal(mg_track_keys_rotate(&id, path_of("damaged"), 0,
                                              pool), MG_ECRYPT);
    }
    assert_true(APR_STATUS_IS_ENOENT(
        mg_track_keys_load(&mine, path_of("nowhere"), pool)));
    assert_non_null(mine);
}

/* Old links stay good; who runs sees the new secret within a second. */
static void rotates(void **state)
{
    mg_track_t track = { MG_TRACK_OPEN, DOMAIN, MESSAGE, "bob@x.test", NULL };
    mg_track_t back;
    mg_track_keys_t *mine, *fresh;
    char *old, *new;
    struct stat st;
    apr_time_t begin;
    int id = 0;

    (void)state;
    assert_int_equal(mg_track_keys_create(path_of("r"), pool), APR_SUCCESS);
    assert_int_equal(stat(path_of("r"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    assert_int_equal(mg_track_keys_create(path_of("r"), pool), APR_EEXIST);
    assert_int_equal(mg_track_keys_load(&mine, path_of("r"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_make(&old, mine, &track, pool), APR_SUCCESS);
    assert_int_equal(chmod(path_of("r"), 0600), 0);
    assert_int_equal(mg_track_keys_rotate(&id, path_of("r"), 0, pool),
                     APR_SUCCESS);
    assert_int_equal(id, 2);
    assert_int_equal(stat(path_of("r"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(mg_track_keys_load(&fresh, path_of("r"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_make(&new, fresh, &track, pool), APR_SUCCESS);
    assert_string_not_equal(old, new);
    assert_int_equal(mg_track_read(&back, fresh, old, pool), APR_SUCCESS);
    begin = mg_ticks();
    while (mg_track_read(&back, mine, new, pool) != APR_SUCCESS) {
        assert_true(mg_ticks() - begin < 10 * APR_TIME_C(1000000));
        usleep(50000);
    }
    assert_int_equal(mg_track_read(&back, mine, old, pool), APR_SUCCESS);

    assert_int_equal(mg_track_keys_rotate(&id, path_of("r"), 1, pool),
                     APR_SUCCESS);
    assert_int_equal(id, 3);
    assert_int_equal(mg_track_keys_load(&fresh, path_of("r"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_read(&back, fresh, old, pool), MG_EDENIED);
    assert_int_equal(mg_track_read(&back, fresh, new, pool), APR_SUCCESS);
    while (id < MG_TRACK_SECRETS_MAX)
        assert_int_equal(mg_track_keys_rotate(&id, path_of("r"), 0, pool),
                         APR_SUCCESS);
    assert_int_equal(mg_track_keys_rotate(&id, path_of("r"), 0, pool),
                     MG_ELIMIT);
    assert_int_equal(mg_track_keys_load(&fresh, path_of("r"), pool),
                     APR_SUCCESS);
    assert_int_equal(mg_track_read(&back, fresh, new, pool), APR_SUCCESS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(makes_and_reads), cmocka_unit_test(has_limits),
        cmocka_unit_test(forged), cmocka_unit_test(moved_to_another_domain),
        cmocka_unit_test(urls), cmocka_unit_test(tags),
        cmocka_unit_test(by_mail), cmocka_unit_test(no_mail),
        cmocka_unit_test(derives), cmocka_unit_test(refuses_damaged_files),
        cmocka_unit_test(rotates),
    };
    int failed;

    apr_initialize();
    apr_pool_create(&pool, NULL);
    failed = cmocka_run_group_tests(tests, make_dir, remove_dir);
    apr_pool_destroy(pool);
    apr_terminate();
    return failed ? 1 : 0;
}
