/* test_seal.c - who may seal and who may open (mg_seal.h). */
#include "unit_pool.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *dir;

static mg_secret_t *make_secret(const char *name)
{
    const char *path = apr_pstrcat(pool, dir, "/", name, NULL);
    mg_secret_t *secret;

    assert_int_equal(mg_secret_create(path, pool), APR_SUCCESS);
    assert_int_equal(mg_secret_load(&secret, path, pool), APR_SUCCESS);
    assert_true(mg_secret_can_open(secret));
    return secret;
}

static void test_files(void **state)
{
    const char *path = apr_pstrcat(pool, dir, "/files", NULL);
    const char *pub = apr_pstrcat(pool, path, ".pub", NULL);
    unsigned char one[32], two[32];
    mg_secret_t *secret;
    struct stat st;

    (void)state;
    secret = make_secret("files");
    assert_int_equal(mg_secret_derive(one, secret, "verp"), APR_SUCCESS);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    assert_int_equal(stat(pub, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    /* never over what is there; a lost public half is made again */
    assert_int_equal(unlink(pub), 0);
    assert_int_equal(mg_secret_create(path, pool), APR_EEXIST);
    assert_int_equal(stat(pub, &st), 0);
    assert_int_equal(mg_secret_load(&secret, path, pool), APR_SUCCESS);
    assert_int_equal(mg_secret_derive(two, secret, "verp"), APR_SUCCESS);
    assert_memory_equal(one, two, 32);
    assert_int_equal(mg_secret_derive(two, secret, "other"), APR_SUCCESS);
    assert_memory_not_equal(one, two, 32);

    assert_int_equal(mg_secret_load(&secret, "/nonexistent/x", pool),
                     APR_ENOENT);
    assert_int_equal(truncate(path, 40), 0);
    assert_int_equal(mg_secret_load(&secret, path, pool), MG_ECRYPT);
    assert_null(secret);
}

static void test_seal(void **state)
{
    mg_secret_t *secret = make_secret("seal"), *other = make_secret("other");
    const void *sealed, *again, *data;
    apr_size_t len, again_len, data_len, i;
    unsigned char *broken;

    (void)state;
    assert_int_equal(mg_seal(&sealed, &len, secret, "api_key", 7, "key-123", 7,
                             pool), APR_SUCCESS);
    assert_int_equal(len, 1 + 32 + 12 + 7 + 16);
    assert_int_equal(mg_unseal(&data, &data_len, secret, "api_key", 7, sealed,
                               len, pool), APR_SUCCESS);
    assert_int_equal(data_len, 7);
    assert_string_equal(data, "key-123");

    /* no two alike */
    assert_int_equal(mg_seal(&again, &again_len, secret, "api_key", 7,
                             "key-123", 7, pool), APR_SUCCESS);
    assert_memory_not_equal(sealed, again, len);

    assert_int_equal(mg_unseal(&data, &data_len, secret, "api_key", 8, sealed,
                               len, pool), MG_ECRYPT);
    assert_null(data);
    assert_int_equal(mg_unseal(&data, &data_len, secret, "dkim_key", 7, sealed,
                               len, pool), MG_ECRYPT);
    assert_int_equal(mg_unseal(&data, &data_len, other, "api_key", 7, sealed,
                               len, pool), MG_ECRYPT);
    for (i = 0; i < len; i++) {
        broken = apr_pmemdup(pool, sealed, len);
        broken[i] ^= 1;
        assert_int_equal(mg_unseal(&data, &data_len, secret, "api_key", 7,
                                   broken, len, pool), MG_ECRYPT);
        assert_int_equal(mg_unseal(&data, &data_len, secret, "api_key", 7,
                                   sealed, i, pool), MG_ECRYPT);
    }
    assert_int_equal(mg_seal(&sealed, &len, secret, "x", -1, "", 0, pool),
                     APR_SUCCESS);
    assert_int_equal(mg_unseal(&data, &data_len, secret, "x", -1, sealed, len,
                               pool), APR_SUCCESS);
    assert_int_equal(data_len, 0);
}

static void test_public_only(void **state)
{
    const char *path = apr_pstrcat(pool, dir, "/pair", NULL);
    mg_secret_t *secret = make_secret("pair"), *public;
    const void *sealed, *data;
    apr_size_t len, data_len;
    unsigned char key[32];

    (void)state;
    /* as httpd sees it; root may read everything, so take the file away */
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mg_secret_load(&public, path, pool), APR_SUCCESS);
    assert_false(mg_secret_can_open(public));
    assert_int_equal(mg_secret_derive(key, public, "verp"), MG_ECRYPT);
    assert_int_equal(mg_seal(&sealed, &len, public, "api_key", 1, "k", 1,
                             pool), APR_SUCCESS);
    assert_int_equal(mg_unseal(&data, &data_len, public, "api_key", 1, sealed,
                               len, pool), MG_ECRYPT);
    assert_int_equal(mg_unseal(&data, &data_len, secret, "api_key", 1, sealed,
                               len, pool), APR_SUCCESS);
    assert_memory_equal(data, "k", 1);
}

static void test_password(void **state)
{
    char *hash = mg_password_hash("tr\xc3\xa4um", pool);

    (void)state;
    assert_int_equal(strlen(hash), 60);
    assert_memory_equal(hash, "$2y$10$", 7);
    assert_true(mg_password_matches("tr\xc3\xa4um", hash));
    assert_false(mg_password_matches("traum", hash));
    assert_false(mg_password_matches("", hash));
    /* what apr_password_validate() would compare in other ways */
    assert_false(mg_password_matches("plain", "plain"));
    assert_false(mg_password_matches("", ""));
    assert_false(mg_password_matches(NULL, hash));
    assert_false(mg_password_matches("x", NULL));
    assert_non_null(mg_password_problem("tr\xc3\xa4u"));
    assert_null(mg_password_problem("tr\xc3\xa4um"));
    assert_null(mg_password_problem("12345678901234567890123456789012"));
    assert_non_null(mg_password_problem("123456789012345678901234567890123"));
    assert_non_null(mg_password_problem("new\nline"));
    /* bcrypt would not see the end of it */
    assert_null(mg_password_problem(
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"));
    assert_non_null(mg_password_problem(
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7"
        "\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7\xf0\x9f\x90\xa7!"));
    assert_non_null(mg_password_problem("latin\xe4"));
}

static void test_hashes(void **state)
{
    unsigned char digest[32];

    (void)state;
    mg_sha256(digest, "abc", 3);
    assert_string_equal(mg_text_hex(digest, 32, pool),
                        "ba7816bf8f01cfea414140de5dae2223"
                        "b00361a396177a9cb410ff61f20015ad");
    /* RFC 4231, case 2 */
    mg_hmac_sha256(digest, "Jefe", 4, "what do ya want for nothing?", 28);
    assert_string_equal(mg_text_hex(digest, 32, pool),
                        "5bdcc146bf60754e6a042426089575c7"
                        "5a003f089d2739839dec58b964ec3843");
}

static int make_dir(void **state)
{
    char template[] = "/tmp/test_seal.XXXXXX";

    (void)state;
    dir = apr_pstrdup(pool, mkdtemp(template));
    return dir ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = { "files", "seal", "other", "pair" };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(names); i++) {
        unlink(apr_pstrcat(pool, dir, "/", names[i], NULL));
        unlink(apr_pstrcat(pool, dir, "/", names[i], ".pub", NULL));
    }
    return rmdir(dir);
}

UNIT_MAIN(cmocka_unit_test_setup(test_files, make_dir),
          cmocka_unit_test(test_seal), cmocka_unit_test(test_public_only),
          cmocka_unit_test(test_password),
          cmocka_unit_test_teardown(test_hashes, remove_dir))
