/* test_event_hook.c - which events are posted, and what their rows say. */
#include <string.h>
#include <apr_strings.h>

#include "mg_json.h"
#include "unit_records.h"

static const char *const settings[] = {
    "webhook.bounce", "webhook.click", "webhook.deliver", "webhook.drop",
    "webhook.open", "webhook.spam", "webhook.unsubscribe",
};

/* rows: "setting event fields" each, in the order they are made */
static const struct {
    mg_event_kind_t kind;
    int code;
    const char *reply, *reason, *tag;
    const char *rows[2];
} cases[] = {
    { MG_EVENT_DELIVERED, 250, "250 2.0.0 ok", NULL, NULL,
      { "webhook.deliver delivered {}" } },
    /* refused: bounced, and given up */
    { MG_EVENT_FAILED, 550, "550 5.1.1 no such user", NULL, NULL,
      { "webhook.bounce bounced {\"code\":\"5.1.1\","
        "\"error\":\"5.1.1 no such user\",\"notification\":\"unknown\"}",
        "webhook.drop dropped {\"reason\":\"hardfail\",\"code\":\"5.1.1\","
        "\"description\":\"5.1.1 no such user\"}" } },
    { MG_EVENT_FAILED, 553, "553 not here", NULL, NULL,
      { "webhook.bounce bounced {\"code\":\"553\",\"error\":\"not here\","
        "\"notification\":\"unknown\"}",
        "webhook.drop dropped {\"reason\":\"hardfail\",\"code\":\"553\","
        "\"description\":\"not here\"}" } },
    { MG_EVENT_FAILED_LATE, 550, "550 5.2.1 closed", NULL, NULL,
      { "webhook.bounce bounced {\"code\":\"5.2.1\",\"error\":\"5.2.1 closed\","
        "\"notification\":\"unknown\"}",
        "webhook.drop dropped {\"reason\":\"hardfail\",\"code\":\"5.2.1\","
        "\"description\":\"5.2.1 closed\"}" } },
    { MG_EVENT_DROPPED, 452, "452 4.2.2 full", "maxfails", NULL,
      { "webhook.drop dropped {\"reason\":\"maxfails\",\"code\":\"4.2.2\","
        "\"description\":\"4.2.2 full\"}" } },
    { MG_EVENT_DROPPED, 605, "Not delivering to previously bounced address",
      "hardfail", NULL,
      { "webhook.drop dropped {\"reason\":\"hardfail\",\"code\":\"605\","
        "\"description\":\"Not delivering to previously bounced address\"}" } },
    { MG_EVENT_DROPPED, 0, "dropped by the operator", "operator", NULL,
      { "webhook.drop dropped {\"reason\":\"hardfail\","
        "\"description\":\"dropped by the operator\"}" } },
    { MG_EVENT_OPENED, 0, NULL, NULL, NULL,
      { "webhook.open opened {\"ip\":\"192.0.2.1\",\"country\":\"US\","
        "\"region\":\"CA\",\"city\":\"San Francisco\","
        "\"user-agent\":\"Mozilla/5.0\",\"device-type\":\"desktop\","
        "\"client-type\":\"browser\",\"client-name\":\"Firefox\","
        "\"client-os\":\"Linux\"}" } },
    { MG_EVENT_CLICKED, 0, NULL, NULL, NULL,
      { "webhook.click clicked {\"url\":\"http://x.test/?a=1&b=2\","
        "\"ip\":\"192.0.2.1\",\"country\":\"US\",\"region\":\"CA\","
        "\"city\":\"San Francisco\",\"user-agent\":\"Mozilla/5.0\","
        "\"device-type\":\"desktop\",\"client-type\":\"browser\","
        "\"client-name\":\"Firefox\",\"client-os\":\"Linux\"}" } },
    { MG_EVENT_UNSUBSCRIBED, 0, NULL, NULL, "*",
      { "webhook.unsubscribe unsubscribed {\"ip\":\"192.0.2.1\","
        "\"country\":\"US\",\"region\":\"CA\",\"city\":\"San Francisco\","
        "\"user-agent\":\"Mozilla/5.0\",\"device-type\":\"desktop\","
        "\"client-type\":\"browser\",\"client-name\":\"Firefox\","
        "\"client-os\":\"Linux\",\"tag\":\"*\"}" } },
    { MG_EVENT_COMPLAINED, 0, NULL, NULL, NULL,
      { "webhook.spam complained {}" } },
    { MG_EVENT_ACCEPTED, 0, NULL, NULL, NULL, { NULL } },
    { MG_EVENT_FAILED_TEMP, 451, "451 later", NULL, NULL, { NULL } },
    { MG_EVENT_POSTED, 200, "200 ok", NULL, NULL, { NULL } },
    { MG_EVENT_STORED, 0, NULL, NULL, NULL, { NULL } },
};

static mg_event_t event_of(const mg_domain_t *d, size_t i)
{
    mg_event_t e = { .kind = cases[i].kind, .account_id = d->account_id,
                     .domain_id = d->id, .message_id = 4711,
                     .direction = MG_OUTGOING, .sender = "me@a.test",
                     .recipient = "bob@x.test", .subject = "Hello",
                     .code = cases[i].code, .reply = cases[i].reply,
                     .reason = cases[i].reason, .tag = cases[i].tag };

    if (e.kind == MG_EVENT_FAILED || e.kind == MG_EVENT_FAILED_LATE)
        e.bounce_class = "unknown";
    if (e.kind == MG_EVENT_CLICKED || e.kind == MG_EVENT_OPENED)
        e.url = "http://x.test/?a=1&b=2";
    if (e.kind == MG_EVENT_CLICKED || e.kind == MG_EVENT_OPENED
        || e.kind == MG_EVENT_UNSUBSCRIBED) {
        e.ip = "192.0.2.1";
        e.country = "US";
        e.region = "CA";
        e.city = "San Francisco";
        e.user_agent = "Mozilla/5.0";
        e.device_type = "desktop";
        e.client_type = "browser";
        e.client_name = "Firefox";
        e.client_os = "Linux";
    }
    return e;
}

static void append(unit_store_t *s, const mg_event_t *e)
{
    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    unit_store_ok(s->db, mg_event_append(s->db, e, s->p));
    unit_store_ok(s->db, mg_tx_commit(s->db));
}

static mg_domain_t *domain_with_urls(unit_store_t *s)
{
    mg_domain_t *d = unit_domain(s, unit_account(s, "a"), "a.test");
    const char *error;
    size_t i;

    for (i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
        unit_store_ok(s->db, mg_domain_set(
            s->db, d->id, settings[i],
            apr_pstrcat(s->p, "http://H.test/", settings[i], NULL), &error,
            s->p));
    return d;
}

static json_t *payload_of(unit_store_t *s, const mg_delivery_t *row)
{
    const char *error;

    return mg_json_parse(row->payload, strlen(row->payload), &error, s->p);
}

static const char *show(unit_store_t *s, const mg_delivery_t *row)
{
    json_t *json = payload_of(s, row);

    assert_string_equal(row->dest, "h.test:80");
    assert_string_equal(row->recipient, "bob@x.test");
    assert_int_equal(row->message_id, 4711);
    assert_int_equal(strlen(json_string_value(json_object_get(json, "id"))),
                     22);
    return apr_pstrcat(s->p, row->target + strlen("http://H.test/"), " ",
                       json_string_value(json_object_get(json, "event")), " ",
                       mg_json_compact(json_object_get(json, "fields"), s->p),
                       NULL);
}

static void rows(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = domain_with_urls(s);
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_HOOK);
    size_t i;
    int k, n;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_event_t e = event_of(d, i);
        apr_array_header_t *list;
        const char *seen[4];

        append(s, &e);
        list = unit_claim(s, s->db, c, 10);
        n = (cases[i].rows[0] != NULL) + (cases[i].rows[1] != NULL);
        assert_int_equal(list->nelts, n);
        for (k = 0; k < n; k++)
            seen[k] = show(s, APR_ARRAY_IDX(list, k, mg_delivery_t *));
        if (n == 2 && strcmp(seen[0], cases[i].rows[0])) {
            seen[2] = seen[0]; /* a claim has no order among equals */
            seen[0] = seen[1];
            seen[1] = seen[2];
        }
        for (k = 0; k < n; k++)
            assert_string_equal(seen[k], cases[i].rows[k]);
        /* mail that came in is nobody's campaign */
        e.direction = MG_INCOMING;
        append(s, &e);
        assert_int_equal(unit_claim(s, s->db, c, 10)->nelts, 0);
    }
}

static void machines(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = domain_with_urls(s);
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_HOOK);
    mg_event_t e = event_of(d, 0);

    e.kind = MG_EVENT_OPENED;
    e.machine = 1;
    append(s, &e);
    assert_int_equal(unit_claim(s, s->db, c, 10)->nelts, 0);
    mg_event_hook_machines(1);
    append(s, &e);
    mg_event_hook_machines(0);
    assert_int_equal(unit_claim(s, s->db, c, 10)->nelts, 1);
}

/* What a report shows of a message goes along, within bounds; what is no
 * UTF-8 does no harm. */
static void originals(void **state)
{
    unit_store_t *s = *state;
    mg_domain_t *d = domain_with_urls(s);
    mg_claimer_t *c = unit_claimer(s, s->db, MG_TRANSPORT_HOOK);
    mg_event_t e = event_of(d, 0);
    apr_array_header_t *list;
    json_t *json;

    e.kind = MG_EVENT_FAILED_LATE;
    e.original = "Subject: x\r\n\r\nb";
    e.original_len = 15;
    e.reply = "550 \xff\xfe";
    append(s, &e);
    list = unit_claim(s, s->db, c, 10);
    assert_int_equal(list->nelts, 2); /* bounced, dropped */
    json = payload_of(s, APR_ARRAY_IDX(list, 0, mg_delivery_t *));
    assert_string_equal(json_string_value(json_object_get(json, "original")),
                        "U3ViamVjdDogeA0KDQpi");
    e.original = apr_pcalloc(s->p, 1000000);
    e.original_len = 1000000;
    append(s, &e);
    list = unit_claim(s, s->db, c, 10);
    json = payload_of(s, APR_ARRAY_IDX(list, 0, mg_delivery_t *));
    assert_int_equal(strlen(json_string_value(json_object_get(json,
                                                              "original"))),
                     (64 * 1024 + 2) / 3 * 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(rows), UNIT_ON_BOTH(machines), UNIT_ON_BOTH(originals),
    };

    return unit_store_run("event_hook", tests);
}
