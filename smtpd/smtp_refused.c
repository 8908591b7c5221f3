/* smtp_refused.c - see smtp_refused.h. */
#include <string.h>

#include <apr_strings.h>

#include "mg_event.h"
#include "mg_log.h"
#include "mg_time.h"
#include "smtp_refused.h"
#include "smtp_session.h"

#define COUNTED 256          /* domains that are counted at once */
#define MINUTE apr_time_from_sec(60)

typedef struct {
    apr_int64_t account_id, domain_id;
    const char *sender, *recipient, *ip, *reply;
    apr_time_t at;
} note_t;

/* Those of one commit. */
typedef struct {
    apr_pool_t *pool;
    apr_array_header_t *notes;   /* of note_t */
    apr_time_t since;            /* mg_ticks() of the first */
    mg_unit_t unit;
} notes_t;

struct smtp_refused_t {
    worker_t *worker;
    apr_pool_t *pool;
    notes_t *gathered, *under_way;
    loop_timer_t *timer;         /* so that a turn comes */
    apr_time_t minute;           /* mg_ticks() of its beginning */
    int counts[COUNTED];         /* by domain id, in this minute */
    int n;                       /* of all */
};

smtp_refused_t *smtp_refused_create(worker_t *worker, apr_pool_t *p)
{
    smtp_refused_t *refused = apr_pcalloc(p, sizeof(*refused));

    refused->worker = worker;
    refused->pool = p;
    return refused;
}

/* --- how many --- */

/* Two domains may have one counter; both have less then. */
static int may_have_one_more(smtp_refused_t *refused, apr_int64_t domain_id)
{
    int *count = &refused->counts[(apr_uint64_t)domain_id % COUNTED];
    apr_time_t now = mg_ticks();

    if (now - refused->minute >= MINUTE) {
        refused->minute = now;
        refused->n = 0;
        memset(refused->counts, 0, sizeof(refused->counts));
    }
    if (refused->n >= SMTP_REFUSED_A_MINUTE_IN_ALL
        || *count >= SMTP_REFUSED_A_MINUTE)
        return 0;
    *count += 1;
    refused->n++;
    return 1;
}

/* --- gathering --- */

static void on_timer(loop_t *loop, void *baton)
{
    smtp_refused_t *refused = baton;

    (void)loop;
    refused->timer = NULL; /* the turn's end looks */
}

static notes_t *notes_to_fill(smtp_refused_t *refused)
{
    apr_pool_t *p;

    if (refused->gathered != NULL)
        return refused->gathered;
    apr_pool_create(&p, refused->pool);
    refused->gathered = apr_pcalloc(p, sizeof(notes_t));
    refused->gathered->pool = p;
    refused->gathered->notes = apr_array_make(p, 16, sizeof(note_t));
    refused->gathered->since = mg_ticks();
    if (refused->timer == NULL)
        refused->timer = loop_timer_set(refused->worker->loop,
                                        SMTP_REFUSED_WAIT, on_timer, refused);
    return refused->gathered;
}

void smtp_refused_recipient(smtp_session_t *s, apr_int64_t account_id,
                            apr_int64_t domain_id, const char *recipient,
                            smtp_reply_t reply)
{
    smtp_refused_t *refused = s->server->refused;
    notes_t *notes;
    note_t *note;

    if (domain_id == 0 || !may_have_one_more(refused, domain_id))
        return;
    notes = notes_to_fill(refused);
    note = apr_array_push(notes->notes);
    note->account_id = account_id;
    note->domain_id = domain_id;
    note->sender = apr_pstrdup(notes->pool, s->tx->sender);
    note->recipient = apr_pstrdup(notes->pool, recipient);
    note->ip = apr_pstrdup(notes->pool, conn_peer_ip(s->conn));
    note->reply = smtp_reply_text(reply);
    note->at = mg_now();
}

void smtp_refused_message(smtp_session_t *s, smtp_reply_t reply)
{
    const smtp_tx_t *tx = s->tx;
    int i;

    if (!tx->incoming || smtp_reply_text(reply)[0] != '5')
        return;
    for (i = 0; i < tx->rcpts->nelts; i++) {
        const mg_wanted_t *wanted =
            &APR_ARRAY_IDX(tx->rcpts, i, const smtp_rcpt_t *)->wanted;

        if (!mg_routing_is_keepers(wanted))
            smtp_refused_recipient(s, wanted->account_id, wanted->domain_id,
                                   wanted->to->address, reply);
    }
}

/* --- committing --- */

static apr_status_t append(mg_db_t *db, const note_t *note, apr_pool_t *p)
{
    mg_event_t event;

    memset(&event, 0, sizeof(event));
    event.kind = MG_EVENT_REFUSED;
    event.direction = MG_INCOMING;
    event.account_id = note->account_id;
    event.domain_id = note->domain_id;
    event.at = note->at;
    event.sender = note->sender;
    event.recipient = note->recipient;
    event.ip = note->ip;
    event.code = (int)apr_strtoi64(note->reply, NULL, 10);
    event.reply = note->reply;
    return mg_event_append(db, &event, p);
}

static apr_status_t run(mg_db_t *db, void *baton, apr_pool_t *ptemp)
{
    const notes_t *notes = baton;
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; rv == APR_SUCCESS && i < notes->notes->nelts; i++)
        rv = append(db, &APR_ARRAY_IDX(notes->notes, i, const note_t), ptemp);
    return rv;
}

/* A COMMIT whose answer was lost: rather none than twice. */
static apr_status_t is_there(mg_db_t *db, void *baton)
{
    (void)db;
    (void)baton;
    return APR_SUCCESS;
}

int smtp_refused_is_any(const smtp_refused_t *refused)
{
    return refused->gathered != NULL;
}

int smtp_refused_is_due(const smtp_refused_t *refused)
{
    return refused->gathered != NULL
           && mg_ticks() - refused->gathered->since >= SMTP_REFUSED_WAIT;
}

mg_unit_t *smtp_refused_unit(smtp_refused_t *refused)
{
    notes_t *notes = refused->gathered;

    if (notes == NULL)
        return NULL;
    refused->gathered = NULL;
    refused->under_way = notes;
    notes->unit.run = run;
    notes->unit.is_there = is_there;
    notes->unit.baton = notes;
    return &notes->unit;
}

void smtp_refused_done(smtp_refused_t *refused)
{
    notes_t *notes = refused->under_way;

    if (notes == NULL)
        return;
    if (notes->unit.status != APR_SUCCESS)
        mg_log(MG_LOG_INFO, notes->unit.status, "smtp: %d refused recipients "
               "are not in the log of their domains", notes->notes->nelts);
    refused->under_way = NULL;
    apr_pool_destroy(notes->pool);
}
