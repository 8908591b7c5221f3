/* test_sender_copies.c - messages of which each recipient gets a copy of his
 * own: rendered, sent alone, within bounds of memory. */
#include "unit_sender.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_status.h"

/* Where each has a copy of his own, each has a transaction of his own. */
static void test_copies_that_differ(void **state)
{
    unit_sender_t *b = unit_sender(state);

    b->options = "{\"batch\":true}";
    unit_mail_to(b, "a@x.test,b@x.test,c@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    b->options = NULL;
    unit_mail_to(b, "a@x.test,b@x.test,c@x.test");
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 4);
}

static void template_to(unit_sender_t *b, const char *recipients,
                        const char *variables, const char *content,
                        apr_size_t len)
{
    json_t *options = json_object();
    const char *error;

    assert_int_equal(mg_render_check(options, &error, 0, NULL, content, len,
                                     b->store->p), APR_SUCCESS);
    assert_int_equal(json_object_size(options), 1);
    b->options = mg_json_compact(options, b->store->p);
    b->variables = variables;
    json_decref(options);
    unit_sender_accept(b, recipients, content, len);
    b->options = b->variables = NULL;
}

static const char *content_for(unit_sender_t *b, const char *recipient)
{
    int i;

    for (i = 0; i < b->mx->messages; i++)
        if (strstr(b->mx->seen[i], recipient))
            return b->mx->contents[i];
    fail_msg("nothing for %s", recipient);
    return "";
}

/* Each its own transaction and text; each VERP sender is the recipient's. */
static void test_copies(void **state)
{
    static const char content[] =
        "To: %recipient%\r\nSubject: hi\r\nContent-Type: text/plain\r\n\r\n"
        ".for %recipient_email%\r\n%recipient.n%\r\n";
    unit_sender_t *b = unit_sender(state);
    int i;

    template_to(b, "a@x.test,b@x.test,c@x.test", "{\"n\":1}", content,
                sizeof(content) - 1);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 3);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'delivered'"), 3);
    assert_non_null(strstr(content_for(b, "<b@x.test>"),
                           "\r\nTo: b@x.test\r\nSubject: hi\r\n"
                           "Content-Type: text/plain\r\n\r\n"
                           ".for b@x.test\r\n1\r\n"));
    for (i = 0; i < 3; i++) {
        assert_non_null(strstr(b->mx->contents[i], "X-Mailgun-Sid: "));
        assert_null(strstr(strstr(b->mx->seen[i], "RCPT") + 1, "RCPT"));
    }
    assert_string_not_equal(content_for(b, "<a@x.test>"),
                            content_for(b, "<c@x.test>"));
    assert_int_equal(b->s->template_bytes, 0);
    assert_int_equal(b->s->copy_bytes, 0);
}

/* The text is one part, the content is read from the store slice by slice. */
static void test_large_template(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_size_t size = 700 * 1024, len;
    char *content = apr_palloc(b->store->p, size + 1000);
    const char *got;
    apr_size_t i;

    len = (apr_size_t)apr_snprintf(
        content, 500, "Subject: hi\r\nMIME-Version: 1.0\r\n"
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n"
        "Hi %%recipient_email%%\r\n--b\r\n"
        "Content-Type: application/octet-stream\r\n\r\n");
    for (i = 0; len < size; i++)
        len += (apr_size_t)apr_snprintf(content + len, 100, "%09d line of an "
                                        "attachment %%recipient%%\r\n",
                                        (int)i);
    len += (apr_size_t)apr_snprintf(content + len, 100, "\r\n--b\r\n\r\n"
                                    "Bye %%recipient_email%%\r\n--b--\r\n");
    template_to(b, "a@x.test,bob@x.test", NULL, content, len);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 2);
    got = content_for(b, "<bob@x.test>");
    assert_non_null(strstr(got, "\r\n\r\nHi bob@x.test\r\n--b\r\n"));
    got = strstr(got, "application/octet-stream");
    assert_memory_equal(got, strstr(content, "application/octet-stream"),
                        (size_t)(strstr(got, "\r\n--b\r\n") - got));
    assert_non_null(strstr(got, "\r\n--b\r\n\r\nBye bob@x.test\r\n--b--\r\n"));
    assert_int_equal(b->s->copy_bytes, 0);
}

/* What is under way fills the memory there is for it: the others wait. */
static void test_copies_wait(void **state)
{
    static const char content[] = "Subject: x\r\n\r\n%recipient%\r\n";
    unit_sender_t *b = unit_sender(state);
    int i;

    b->s->copy_bytes = 64 * 1024 * 1024;
    template_to(b, "a@x.test", NULL, content, sizeof(content) - 1);
    for (i = 0; i < 100 && !b->s->copies_full; i++)
        unit_turn(b, 10);
    assert_int_equal(b->s->copies_full, 1);
    unit_turn(b, 50);
    assert_int_equal(b->mx->messages, 0);
    b->s->copy_bytes = 0; /* the one that filled it is gone */
    b->s->copies_full = 0;
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 1);
    assert_int_equal(b->s->copy_bytes, 0);
}

/* A large template is parsed in one turn and rendered in the next. */
static void test_large_text(void **state)
{
    unit_sender_t *b = unit_sender(state);
    apr_size_t size = 300 * 1024, len;
    char *content = apr_palloc(b->store->p, size + 1000);
    int i;

    len = (apr_size_t)apr_snprintf(content, 500, "Subject: hi\r\n\r\n");
    for (i = 0; len < size; i++)
        len += (apr_size_t)apr_snprintf(content + len, 100, "%06d for you, "
                                        "alone, %%recipient_email%%\r\n",
                                        i % 100);
    template_to(b, "a@x.test,bob@x.test", NULL, content, len);
    unit_await(b, "delivery", 0);
    assert_int_equal(b->mx->messages, 2);
    assert_non_null(strstr(content_for(b, "<bob@x.test>"),
                           "000099 for you, alone, bob@x.test\r\n"));
    assert_null(strstr(content_for(b, "<bob@x.test>"), "%recipient"));
}

/* A plan that does not fit the content, values that fill too much. */
static void test_no_copy(void **state)
{
    static const char content[] = "Subject: %recipient.a%\r\n\r\nx\r\n";
    unit_sender_t *b = unit_sender(state);
    char *value = apr_palloc(b->store->p, 2200 * 1024);

    b->options = "{\"template\":[[0,7,0]]}";
    unit_sender_accept(b, "a@x.test", content, sizeof(content) - 1);
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 1);
    assert_non_null(strstr(unit_text(b, "SELECT detail FROM event WHERE kind = "
                                     "'failed'"), "554 5.6.0 "));
    memset(value, 'x', 2200 * 1024 - 1);
    memcpy(value, "{\"a\":\"", 6);
    memcpy(value + 2200 * 1024 - 3, "\"}", 3);
    template_to(b, "a@x.test", value, content, sizeof(content) - 1);
    unit_await(b, "delivery", 0);
    assert_int_equal(unit_rows(b, "event WHERE kind = 'failed'"), 2);
    assert_int_equal(b->mx->messages, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(test_copies),
        UNIT_ON_BOTH(test_large_template),
        UNIT_ON_SQLITE(test_copies_wait),
        UNIT_ON_BOTH(test_large_text),
        UNIT_ON_SQLITE(test_no_copy),
        UNIT_ON_SQLITE(test_copies_that_differ),
    };

    mg_log_set_level(getenv("UNIT_LOG") ? MG_LOG_DEBUG : MG_LOG_ERR);
    return unit_store_run("sender_copies", tests);
}
