/* test_routing.c - who gets a message. */
#include <string.h>
#include <apr_strings.h>

#include "mg_route.h"
#include "mg_routing.h"
#include "mg_status.h"
#include "mg_verp.h"
#include "unit_records.h"

static const unsigned char verp_key[32] = "0123456789abcdef";

static void add_route(unit_store_t *s, apr_int64_t account, int priority,
                      const char *expression, const char *action)
{
    apr_array_header_t *actions = apr_array_make(s->p, 1, sizeof(char *));
    mg_route_t *r;

    APR_ARRAY_PUSH(actions, const char *) = action;
    unit_store_ok(s->db, mg_route_add(&r, s->db, account, priority, "",
                                      expression, actions, s->p));
}

static mg_routing_t *routing_of(unit_store_t *s, mg_shared_t *shared)
{
    return mg_routing_create(mg_domain_cache_create(shared, s->p), shared,
                             verp_key, s->p);
}

static apr_int64_t sender_account; /* whose mail route_to() routes */

/* "lmtp:<n>" is the mailbox of n@a.test; transports in order. */
static char *route_to(unit_store_t *s, mg_routing_t *routing, int way,
                      const char *recipient, apr_int64_t *pdomain)
{
    apr_array_header_t *envelopes =
        apr_array_make(s->p, 2, sizeof(mg_envelope_t));
    mg_address_t *address;
    mg_wanted_t wanted;
    const char *rest;
    char *got = "";
    apr_status_t rv;
    int i;

    assert_int_equal(mg_address_parse_path(&address, &rest, recipient, 0, 1,
                                           s->p), APR_SUCCESS);
    *pdomain = 0;
    rv = mg_routing_look(&wanted, routing, s->db, address, way,
                         sender_account, s->p);
    if (way == MG_ROUTING_INCOMING)
        *pdomain = wanted.domain_id;
    if (rv == APR_SUCCESS)
        rv = mg_routing_decide(envelopes, &wanted, routing, s->db, NULL, NULL,
                               s->p);
    if (rv == APR_ENOENT)
        return "nobody";
    if (rv == MG_EDENIED)
        return "denied";
    unit_store_ok(s->db, rv);
    for (i = 0; i < envelopes->nelts; i++) {
        mg_envelope_t *e = &APR_ARRAY_IDX(envelopes, i, mg_envelope_t);
        const char *where = e->dest;
        mg_mailbox_t *box;

        assert_true(e->id != 0);
        assert_int_equal(e->due_at, 0);
        if (e->transport == MG_TRANSPORT_LMTP && strcmp(where, "0") != 0) {
            unit_store_ok(s->db, mg_mailbox_by_id(&box, s->db,
                                                  apr_atoi64(e->dest),
                                                  s->p));
            where = box->address;
        }
        got = apr_pstrcat(s->p, got, i ? " " : "",
                          mg_transport_name(e->transport), ":", where, ":",
                          e->transport == MG_TRANSPORT_HTTP ? e->target
                                                            : e->recipient,
                          NULL);
    }
    return got;
}

static void table(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a"), b = unit_account(s, "b");
    mg_domain_t *da = unit_domain(s, a, "a.test");
    mg_domain_t *db = unit_domain(s, b, "b.test");
    mg_domain_t *dl = unit_domain(s, a, "far.test");
    mg_routing_t *routing = routing_of(s, NULL);
    apr_int64_t domain;
    mg_mailbox_t *box;
    const char *error;
    char *verp, *forged, *got;
    const struct {
        int way;
        const char *recipient, *want;
        const mg_domain_t *domain;
    } cases[] = {
        { MG_ROUTING_INCOMING, "<bob@a.test>", "lmtp:bob@a.test:bob@a.test",
          da },
        { MG_ROUTING_INCOMING, "<BOB@A.TEST>", "lmtp:bob@a.test:BOB@a.test",
          da },
        { MG_ROUTING_INCOMING, "<nobody@a.test>", "nobody", da },
        { MG_ROUTING_INCOMING, "<x@remote.test>", "denied", NULL },
        { MG_ROUTING_INCOMING, "<postmaster>", "nobody", NULL },
        { MG_ROUTING_INCOMING, "<postmaster@a.test>",
          "lmtp:postmaster@a.test:postmaster@a.test", da },
        /* everything that wants it, and only the domain's own account */
        { MG_ROUTING_INCOMING, "<hook@a.test>",
          "http:h.test:80:http://h.test/in", da },
        { MG_ROUTING_INCOMING, "<both@a.test>", "lmtp:both@a.test:both@a.test"
          " http:h.test:80:http://h.test/in smtp:remote.test:r@remote.test",
          da },
        { MG_ROUTING_INCOMING, "<hook@b.test>", "nobody", db },
        { MG_ROUTING_INCOMING, "<x@far.test>", "lmtp:x@far.test:x@far.test",
          dl },
        /* a customer of ours sends */
        { MG_ROUTING_OUTGOING, "<x@Remote.test>",
          "smtp:remote.test:x@remote.test", NULL },
        { MG_ROUTING_OUTGOING, "<bob@a.test>", "lmtp:bob@a.test:bob@a.test",
          NULL },
        { MG_ROUTING_OUTGOING, "<hook@a.test>",
          "http:h.test:80:http://h.test/in", NULL },
        { MG_ROUTING_OUTGOING, "<nobody@a.test>", "smtp:a.test:nobody@a.test",
          NULL },
        /* local no: always by its MX */
        { MG_ROUTING_OUTGOING, "<x@far.test>", "smtp:far.test:x@far.test",
          NULL },
        { MG_ROUTING_OUTGOING, "<postmaster>", "nobody", NULL },
    };
    size_t i;

    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, da->id, "bob@a.test",
                                        "h", s->p));
    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, da->id, "both@a.test",
                                        "h", s->p));
    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, dl->id, "x@far.test",
                                        "h", s->p));
    unit_store_ok(s->db, mg_domain_set(s->db, dl->id, "local", "no", &error,
                                       s->p));
    add_route(s, a, 0, "match_recipient('(hook|both)@')",
              "forward('http://h.test/in')");
    add_route(s, a, 1, "match_recipient('both@')",
              "forward('r@remote.test')");

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        got = route_to(s, routing, cases[i].way, cases[i].recipient, &domain);
        if (strcmp(got, cases[i].want))
            fail_msg("%s: %s", cases[i].recipient, got);
        assert_int_equal(domain, cases[i].domain ? cases[i].domain->id : 0);
    }

    /* bounces to envelope senders of ours */
    verp = mg_verp_make(verp_key, 4711, "x@remote.test", "a.test", s->p);
    got = route_to(s, routing, MG_ROUTING_INCOMING,
                   apr_pstrcat(s->p, "<", verp, ">", NULL), &domain);
    assert_string_equal(got, apr_pstrcat(s->p, "bounce:a.test:", verp, NULL));
    forged = apr_pstrdup(s->p, verp);
    forged[8] = forged[8] == 'a' ? 'b' : 'a';
    got = route_to(s, routing, MG_ROUTING_INCOMING,
                   apr_pstrcat(s->p, "<", forged, ">", NULL), &domain);
    assert_string_equal(got, "nobody");

    /* a domain that is switched off takes nothing */
    unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE domain"
                                    " SET state = 'disabled', revision = 99"
                                    " WHERE id = $1", "i", da->id));
    got = route_to(s, routing_of(s, NULL), MG_ROUTING_INCOMING,
                   "<bob@a.test>", &domain);
    assert_string_equal(got, "nobody");
}

/* What the keeper reads besides: from anybody, and from our customers. */
static void reports(void **state)
{
    static const struct {
        const char *feedback, *recipient, *want;
    } cases[] = {
        { "fbl", "<FBL@a.test>", "bounce:a.test:FBL@a.test" },
        { "fbl", "<fbl@b.test>", "bounce:b.test:fbl@b.test" },
        { "fbl@b.test", "<fbl@a.test>", "lmtp:fbl@a.test:fbl@a.test" },
        { "fbl@b.test", "<Fbl@b.test>", "bounce:b.test:Fbl@b.test" },
        { NULL, "<fbl@a.test>", "lmtp:fbl@a.test:fbl@a.test" },
        { NULL, "<fbl@b.test>", "nobody" },
    };
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a");
    mg_domain_t *da = unit_domain(s, a, "a.test");
    mg_track_t track = { .kind = MG_TRACK_UNSUBSCRIBE, .domain_id = da->id,
                         .message_id = 4711, .recipient = "x@remote.test" };
    const char *secret = apr_pstrcat(s->p, s->dir, "/tracking", NULL);
    mg_routing_t *routing = routing_of(s, NULL);
    apr_int64_t domain;
    mg_track_keys_t *keys;
    mg_mailbox_t *box;
    const char *error;
    char *local;
    size_t i;

    unit_domain(s, a, "b.test");
    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, da->id, "fbl@a.test",
                                        "h", s->p));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_routing_reports(routing, cases[i].feedback, NULL);
        assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING,
                                     cases[i].recipient, &domain),
                            cases[i].want);
    }
    (void)mg_track_keys_create(secret, s->p);
    unit_store_ok(s->db, mg_track_keys_load(&keys, secret, s->p));
    unit_store_ok(s->db, mg_track_mail_make(&local, keys, &track, s->p));
    mg_routing_reports(routing, NULL, keys);
    for (i = 0; i < 2; i++) /* one of another domain is none */
        assert_string_equal(
            route_to(s, routing, MG_ROUTING_INCOMING, apr_pstrcat(
                s->p, "<", local, i ? "@b.test>" : "@a.test>", NULL), &domain),
            i ? "nobody" : apr_pstrcat(s->p, "bounce:a.test:", local,
                                       "@a.test", NULL));
    /* from a customer, too, wherever the domain's mail goes */
    unit_store_ok(s->db, mg_domain_set(s->db, da->id, "local", "no", &error,
                                       s->p));
    routing = routing_of(s, NULL);
    mg_routing_reports(routing, NULL, keys);
    assert_string_equal(route_to(s, routing, MG_ROUTING_OUTGOING, apr_pstrcat(
        s->p, "<", local, "@a.test>", NULL), &domain), apr_pstrcat(
        s->p, "bounce:a.test:", local, "@a.test", NULL));
    local[10] = local[10] == 'a' ? 'b' : 'a';
    assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING, apr_pstrcat(
        s->p, "<", local, "@a.test>", NULL), &domain), "nobody");
}

static void sees_changes(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a");
    mg_shared_t *shared = mg_shared_attach(s->dir, s->p);
    mg_routing_t *routing = routing_of(s, shared);
    apr_int64_t domain;
    apr_array_header_t *list;

    unit_domain(s, a, "a.test");
    assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING, "<x@a.test>",
                                 &domain), "nobody");
    add_route(s, a, 0, "catch_all()", "forward('http://h.test/')");
    mg_shared_bump(shared);
    assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING, "<x@a.test>",
                                 &domain), "http:h.test:80:http://h.test/");
    unit_store_ok(s->db, mg_route_list(&list, s->db, a, s->p));
    unit_store_ok(s->db, mg_route_remove(
                             s->db, a, APR_ARRAY_IDX(list, 0, mg_route_t *)
                                           ->public_id));
    /* nobody rings: seen after a second */
    apr_sleep(apr_time_from_msec(1100));
    assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING, "<x@a.test>",
                                 &domain), "nobody");
}

/* More accounts than are kept compiled. */
static void many_accounts(void **state)
{
    unit_store_t *s = *state;
    mg_routing_t *routing = routing_of(s, NULL);
    apr_int64_t d;
    int i, round;

    unit_store_ok(s->db, mg_tx_begin(s->db, MG_TX_WRITE));
    for (i = 0; i < 600; i++) {
        const char *name = apr_psprintf(s->p, "a%d.test", i);
        apr_int64_t account = unit_account(s, name);

        unit_domain(s, account, name);
        add_route(s, account, 0, "catch_all()",
                  apr_psprintf(s->p, "forward('http://h/%d')", i));
    }
    unit_store_ok(s->db, mg_tx_commit(s->db));
    for (round = 0; round < 2; round++)
        for (i = 0; i < 600; i++)
            assert_string_equal(
                route_to(s, routing, MG_ROUTING_INCOMING,
                         apr_psprintf(s->p, "<x@a%d.test>", i), &d),
                apr_psprintf(s->p, "http:h:80:http://h/%d", i));
}

/* Mail of ours to a domain of ours: here, or by its MX. */
static void stays_or_leaves(void **state)
{
    unit_store_t *s = *state;
    apr_int64_t a = unit_account(s, "a");
    mg_domain_t *d = unit_domain(s, a, "a.test");
    apr_int64_t domain;
    mg_mailbox_t *box;
    const char *error;
    static const char *const here = "lmtp:bob@a.test:bob@a.test",
                            *const out = "smtp:a.test:bob@a.test",
                            *const nobody_here = "lmtp:0:no@a.test",
                            *const nobody_out = "smtp:a.test:no@a.test";
    const struct {
        const char *local, *mx, *bob, *nobody;
        int is_others; /* the mail is another account's */
    } cases[] = {
        { "auto", "", here, nobody_out, 0 },
        { "auto", "ours", here, nobody_here, 0 },
        { "auto", "elsewhere", out, nobody_out, 0 },
        { "yes", "", here, nobody_here, 0 },
        { "yes", "ours", here, nobody_here, 0 },
        { "yes", "elsewhere", here, nobody_here, 0 },
        { "no", "", out, nobody_out, 0 },
        { "no", "ours", out, nobody_out, 0 },
        { "no", "elsewhere", out, nobody_out, 0 },
        /* "yes" draws nobody else's mail to a domain that is only claimed */
        { "yes", "elsewhere", out, nobody_out, 1 },
        { "yes", "ours", here, nobody_here, 1 },
        { "auto", "ours", here, nobody_here, 1 },
    };
    size_t i;

    unit_store_ok(s->db, mg_mailbox_add(&box, s->db, a, d->id, "bob@a.test",
                                        "h", s->p));
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        mg_routing_t *routing = routing_of(s, NULL);

        sender_account = cases[i].is_others ? a + 1 : a;
        unit_store_ok(s->db, mg_domain_set(s->db, d->id, "local",
                                           cases[i].local, &error, s->p));
        unit_store_ok(s->db, mg_db_exec(s->db, NULL, "UPDATE domain SET mx ="
                                        " $1 WHERE id = $2", "ti",
                                        cases[i].mx, d->id));
        assert_string_equal(route_to(s, routing, MG_ROUTING_OUTGOING,
                                     "<bob@a.test>", &domain), cases[i].bob);
        assert_string_equal(route_to(s, routing, MG_ROUTING_OUTGOING,
                                     "<no@a.test>", &domain),
                            cases[i].nobody);
        /* what comes in is not asked */
        assert_string_equal(route_to(s, routing, MG_ROUTING_INCOMING,
                                     "<bob@a.test>", &domain), here);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_ON_BOTH(table),
        UNIT_ON_BOTH(reports),
        UNIT_ON_BOTH(stays_or_leaves),
        UNIT_ON_BOTH(sees_changes),
        UNIT_ON_BOTH(many_accounts),
    };
    return unit_store_run("routing", tests);
}
