/* test_tracking.c - what of a message is tracked, by domain and by message. */
#include <apr_strings.h>
#include <string.h>

#include "mg_json.h"
#include "mg_tracking.h"
#include "unit_pool.h"

static mg_domain_t domain_with(const char *clicks, int opens, int unsubscribe,
                               int cname)
{
    mg_domain_t d;

    memset(&d, 0, sizeof(d));
    d.name = "a.test";
    d.cname = cname;
    d.settings = apr_table_make(pool, 4);
    apr_table_setn(d.settings, "track_clicks", clicks);
    apr_table_setn(d.settings, "track_opens", opens ? "true" : "false");
    apr_table_setn(d.settings, "unsubscribe", unsubscribe ? "true" : "false");
    return d;
}

static void domain_and_message(void **state)
{
    static const struct {
        const char *clicks;
        int opens, unsubscribe, cname, force;
        const char *options, *is;
    } cases[] = {
        { "no", 0, 0, 1, 0, "{}", "opens 0 clicks 0 unsubscribe 0" },
        { "yes", 1, 1, 1, 0, "{}", "opens 1 clicks 1 unsubscribe 1" },
        { "htmlonly", 0, 0, 1, 0, "{}", "opens 0 clicks 2 unsubscribe 0" },
        /* the message's word */
        { "no", 0, 0, 1, 0, "{\"tracking\":true}",
          "opens 1 clicks 1 unsubscribe 0" },
        { "htmlonly", 0, 0, 1, 0, "{\"tracking\":true}",
          "opens 1 clicks 2 unsubscribe 0" },
        { "yes", 1, 1, 1, 0, "{\"tracking\":false}",
          "opens 0 clicks 0 unsubscribe 1" },
        { "yes", 1, 0, 1, 0, "{\"tracking-clicks\":\"no\"}",
          "opens 1 clicks 0 unsubscribe 0" },
        { "yes", 1, 0, 1, 0, "{\"tracking-clicks\":\"htmlonly\"}",
          "opens 1 clicks 2 unsubscribe 0" },
        { "no", 0, 0, 1, 0, "{\"tracking-clicks\":\"yes\"}",
          "opens 0 clicks 1 unsubscribe 0" },
        { "no", 0, 0, 1, 0, "{\"tracking-opens\":true}",
          "opens 1 clicks 0 unsubscribe 0" },
        { "no", 1, 0, 1, 0, "{\"tracking-opens\":false}",
          "opens 0 clicks 0 unsubscribe 0" },
        /* tracking has the last word */
        { "no", 0, 0, 1, 0,
          "{\"tracking\":true,\"tracking-clicks\":\"htmlonly\"}",
          "opens 1 clicks 2 unsubscribe 0" },
        { "no", 0, 0, 1, 0,
          "{\"tracking\":true,\"tracking-clicks\":\"no\","
          "\"tracking-opens\":false}", "opens 1 clicks 1 unsubscribe 0" },
        { "no", 0, 0, 1, 0,
          "{\"tracking\":false,\"tracking-clicks\":\"yes\","
          "\"tracking-opens\":true}", "opens 0 clicks 0 unsubscribe 0" },
        /* what is neither yes nor no was not said */
        { "yes", 1, 0, 1, 0, "{\"tracking\":\"maybe\","
          "\"tracking-clicks\":\"some\",\"tracking-opens\":\"x\"}",
          "opens 1 clicks 1 unsubscribe 0" },
        /* DNS does not have the tracking host */
        { "yes", 1, 1, 0, 0, "{}", "opens 0 clicks 0 unsubscribe 0" },
        { "yes", 1, 1, 0, 0, "{\"tracking\":true}",
          "opens 0 clicks 0 unsubscribe 0" },
        { "yes", 1, 1, 0, 1, "{}", "opens 1 clicks 1 unsubscribe 1" },
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        mg_domain_t d = domain_with(cases[i].clicks, cases[i].opens,
                                    cases[i].unsubscribe, cases[i].cname);
        mg_tracking_t t;
        const char *why, *is;

        mg_tracking_of_domain(&t, &d, cases[i].force);
        mg_tracking_of_message(&t, mg_json_parse(cases[i].options,
                                                 strlen(cases[i].options),
                                                 &why, pool));
        is = apr_psprintf(pool, "opens %d clicks %d unsubscribe %d", t.opens,
                          t.clicks, t.unsubscribe);
        if (strcmp(is, cases[i].is) != 0)
            fail_msg("%d: %s: %s", (int)i, cases[i].options, is);
        assert_int_equal(mg_tracking_is_on(&t), !!(t.opens | t.clicks
                                                   | t.unsubscribe));
    }
}

static void footers(void **state)
{
    mg_domain_t d = domain_with("no", 0, 0, 1);

    (void)state;
    assert_string_equal(mg_tracking_footer(&d, 1), "\n<br>\n<p><a href=\""
                        "%unsubscribe_url%\">unsubscribe</a></p>\n");
    assert_string_equal(mg_tracking_footer(&d, 0), "\n\nTo unsubscribe click: "
                        "<%unsubscribe_url%>\n\n");
    apr_table_setn(d.settings, "unsubscribe_html", "<i>bye</i>");
    apr_table_setn(d.settings, "unsubscribe_text", "");
    assert_string_equal(mg_tracking_footer(&d, 1), "<i>bye</i>");
    assert_string_equal(mg_tracking_footer(&d, 0), "");
}

UNIT_MAIN(cmocka_unit_test(domain_and_message), cmocka_unit_test(footers))
