/* unit_records.c - an account, a domain and messages to test with. */
#include <string.h>
#include <apr_strings.h>

#include "mg_id.h"
#include "mg_status.h"
#include "mg_time.h"
#include "unit_records.h"

mg_secret_t *unit_secret(unit_store_t *store)
{
    const char *path = apr_pstrcat(store->p, store->dir, "/secret", NULL);
    mg_secret_t *secret;
    apr_status_t rv = mg_secret_create(path, store->p);

    assert_true(rv == APR_SUCCESS || APR_STATUS_IS_EEXIST(rv));
    assert_int_equal(mg_secret_load(&secret, path, store->p), APR_SUCCESS);
    return secret;
}

apr_int64_t unit_account(unit_store_t *store, const char *name)
{
    mg_account_t *account;

    unit_store_ok(store->db,
                  mg_account_add(&account, store->db, name, store->p));
    return account->id;
}

const mg_dkim_t *unit_dkim(void)
{
    static apr_pool_t *pool;
    static mg_dkim_t *dkim;

    if (!dkim) {
        apr_pool_create(&pool, NULL);
        assert_int_equal(mg_dkim_make(&dkim, pool), APR_SUCCESS);
    }
    return dkim;
}

mg_domain_t *unit_domain(unit_store_t *store, apr_int64_t account_id,
                         const char *name)
{
    mg_domain_t *domain;

    unit_store_ok(store->db,
                  mg_domain_add(&domain, store->db, NULL, account_id, name,
                                "$2y$10$hash", NULL, store->p));
    return domain;
}

mg_message_t *unit_message(unit_store_t *store, const mg_domain_t *domain)
{
    mg_message_t *m = apr_pcalloc(store->p, sizeof(*m));
    char *bytes = apr_palloc(store->p, 4096);

    memset(bytes, 'x', 4096);
    m->id = mg_id_next();
    m->account_id = domain->account_id;
    m->domain_id = domain->id;
    m->direction = MG_OUTGOING;
    m->method = "http";
    m->message_id = mg_id_message(domain->name, store->p);
    m->sender = apr_pstrcat(store->p, "me@", domain->name, NULL);
    m->from_header = m->sender;
    m->subject = "Hello";
    m->created_at = mg_now();
    m->bytes = bytes;
    m->bytes_len = 4096;
    m->size = 4096;
    m->envelopes = apr_array_make(store->p, 2, sizeof(mg_envelope_t));
    return m;
}

mg_envelope_t *unit_envelope(mg_message_t *message,
                             mg_transport_kind_t transport,
                             const char *recipient, const char *dest)
{
    mg_envelope_t *e = apr_array_push(message->envelopes);

    memset(e, 0, sizeof(*e));
    e->id = mg_id_next();
    e->transport = transport;
    e->recipient = e->recipient_as_given = recipient;
    e->dest = dest;
    return e;
}

apr_status_t unit_accept(mg_db_t *db, const mg_message_t *message,
                         apr_pool_t *p)
{
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv == APR_SUCCESS)
        rv = mg_message_accept(db, message, p);
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}

void unit_accept_many(unit_store_t *store, const mg_domain_t *domain, int n)
{
    mg_message_t *message;
    int i;

    for (i = 0; i < n; i++) {
        if (i % 100 == 0)
            unit_store_ok(store->db, mg_tx_begin(store->db, MG_TX_WRITE));
        message = unit_message(store, domain);
        unit_envelope(message, MG_TRANSPORT_SMTP, "a@remote.test",
                      "remote.test");
        unit_store_ok(store->db,
                      mg_message_accept(store->db, message, store->p));
        if (i % 100 == 99 || i == n - 1)
            unit_store_ok(store->db, mg_tx_commit(store->db));
    }
}

mg_claimer_t *unit_claimer(unit_store_t *store, mg_db_t *db,
                           mg_transport_kind_t transport)
{
    apr_int64_t worker;

    unit_store_ok(db, mg_worker_register(&worker, db, "sender"));
    return mg_claimer_create(worker, &transport, 1, apr_time_from_sec(60),
                             store->p);
}

apr_array_header_t *unit_claim(unit_store_t *store, mg_db_t *db,
                               mg_claimer_t *claimer, int limit)
{
    apr_array_header_t *claimed;

    unit_store_ok(db, mg_queue_claim(&claimed, db, claimer, limit, store->p));
    return claimed;
}

static apr_status_t result(mg_db_t *db, const mg_delivery_t *delivery,
                           mg_event_kind_t kind, apr_pool_t *p)
{
    mg_message_t *message;
    mg_event_t event;
    apr_status_t rv = mg_queue_settle(db, delivery);

    if (rv == APR_SUCCESS)
        rv = mg_message_get(&message, db, delivery->message_id, p);
    if (rv != APR_SUCCESS)
        return rv;
    event = mg_event_of(kind, delivery, message, p);
    event.code = 250;
    event.reply = "250 2.0.0 ok";
    return mg_event_append(db, &event, p);
}

apr_status_t unit_result(mg_db_t *db, const mg_delivery_t *delivery,
                         mg_event_kind_t kind, apr_pool_t *p)
{
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv == APR_SUCCESS)
        rv = result(db, delivery, kind, p);
    if (rv == APR_SUCCESS)
        return mg_tx_commit(db);
    mg_tx_rollback(db);
    return rv;
}

void unit_fsck(unit_store_t *store, int findings, const char *words)
{
    apr_array_header_t *found, *counts;
    int i, hit = words == NULL;

    unit_store_ok(store->db, mg_fsck(&found, &counts, store->db, store->p));
    for (i = 0; i < found->nelts; i++) {
        const char *problem =
            APR_ARRAY_IDX(found, i, mg_fsck_finding_t).problem;

        if (words && strstr(problem, words))
            hit = 1;
        if (found->nelts != findings)
            print_message("fsck: %s\n", problem);
    }
    assert_int_equal(found->nelts, findings);
    if (!hit)
        print_message("fsck did not say: %s; but: %s\n", words,
                      APR_ARRAY_IDX(found, 0, mg_fsck_finding_t).problem);
    assert_true(hit);
}
