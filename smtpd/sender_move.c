/* sender_move.c - see sender_move.h.
 *
 * A closed destination may have a million rows. Each that is claimed and given
 * back costs a write and a place in memory that the living could have; so the
 * first one that comes back has all like it moved to the destination's next
 * try, STEP rows a transaction, by ids. Behind the last id that was seen there
 * are only newer rows: those that come later continue from there.
 */
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mg_destination.h"
#include "mg_status.h"
#include "mg_time.h"
#include "sender_move.h"

#define STEP 500
#define STEPS_AT_ONCE 4
#define PAUSE apr_time_from_msec(25)   /* between transactions */
#define SPREAD apr_time_from_sec(10)   /* they do not come all at once */
#define ANEW apr_time_from_sec(10)     /* retries came due: from the start */

typedef struct sender_move_t {
    char *key;                 /* "17 example.com tls=1 skip=0" */
    apr_int64_t domain_id;
    char *dest;                /* malloc'ed, as key */
    const char *target;        /* in key */
    apr_time_t until;          /* mg_now() */
    apr_int64_t after;         /* rows up to this id were seen */
    int queued;                /* there is more to do */
    apr_time_t ended;          /* mg_ticks() */
    struct sender_move_t *next;
} sender_move_t;

static sender_move_t *move_for(sender_t *s, const mg_delivery_t *like)
{
    sender_move_t *m;
    const char *target = like->target ? like->target : "";
    char key[400];

    apr_snprintf(key, sizeof(key), "%" APR_INT64_T_FMT " %.255s %.100s",
                 like->domain_id, like->dest, target);
    m = apr_hash_get(s->moves, key, APR_HASH_KEY_STRING);
    if (m)
        return m;
    m = calloc(1, sizeof(*m));
    if (!m || !(m->key = strdup(key)) || !(m->dest = strdup(like->dest)))
        abort(); /* as APR's pools do */
    m->domain_id = like->domain_id;
    m->target = m->key + strlen(m->key) - strlen(target);
    apr_hash_set(s->moves, m->key, APR_HASH_KEY_STRING, m);
    return m;
}

void sender_move(sender_t *s, const mg_delivery_t *like, apr_time_t until)
{
    sender_move_t *m;

    if (like->transport != MG_TRANSPORT_SMTP)
        return; /* a mailbox has few */
    m = move_for(s, like);
    if (until > m->until + APR_USEC_PER_SEC
        || (!m->queued && like->id <= m->after
            && mg_ticks() - m->ended > ANEW)) {
        m->until = until;
        m->after = 0;
    }
    else if (m->queued || like->id <= m->after)
        return;
    if (m->queued)
        return;
    m->queued = 1;
    m->next = NULL;
    *s->moves_end = m;
    s->moves_end = &m->next;
}

/* @return 0: the store failed */
static int step(sender_t *s, sender_move_t *m)
{
    mg_queue_move_t move;

    memset(&move, 0, sizeof(move));
    move.dest = m->dest;
    move.domain_id = m->domain_id;
    move.target = m->target;
    move.until = m->until;
    move.spread = SPREAD;
    move.retry_limit = s->config->retry_limit;
    move.after = m->after;
    if (!sender_store_works(s, mg_queue_move(s->db, &move, STEP)))
        return 0;
    m->after = move.after;
    if (move.looked < STEP) {
        m->queued = 0;
        m->ended = mg_ticks();
    }
    return 1;
}

/* The first one's turn ends: done, or behind the others. */
static void turn(sender_t *s)
{
    sender_move_t *m = s->moves_first;

    s->moves_first = m->next;
    if (!s->moves_first)
        s->moves_end = &s->moves_first;
    if (!m->queued)
        return;
    m->next = NULL;
    *s->moves_end = m;
    s->moves_end = &m->next;
}

static void on_timer(loop_t *loop, void *baton)
{
    sender_t *s = baton;

    (void)loop;
    s->moves_timer = NULL;
    sender_moves_check(s);
}

/* What was done is undone. */
static void begin_anew(sender_t *s)
{
    apr_hash_index_t *hi;

    for (hi = apr_hash_first(NULL, s->moves); hi; hi = apr_hash_next(hi)) {
        sender_move_t *m;

        apr_hash_this(hi, NULL, NULL, (void **)&m);
        m->after = 0;
        if (!m->queued)
            m->until = 0; /* when it is asked for again */
    }
}

/* Some steps in one transaction, after the turn's output. */
static void on_moves(loop_t *loop, void *baton)
{
    sender_t *s = baton;
    int i;

    if (!s->moves_first || s->store_down || s->worker->stopping
        || !sender_store_works(s, mg_tx_begin(s->db, MG_TX_WRITE)))
        return;
    for (i = 0; i < STEPS_AT_ONCE && s->moves_first; i++) {
        if (!step(s, s->moves_first)) {
            mg_tx_rollback(s->db);
            begin_anew(s);
            return;
        }
        turn(s);
    }
    if (!sender_store_works(s, mg_tx_commit(s->db)))
        begin_anew(s);
    if (s->moves_first && !s->moves_timer)
        s->moves_timer = loop_timer_set(loop, PAUSE, on_timer, s);
}

void sender_moves_check(sender_t *s)
{
    if (!s->moves_first || s->moves_timer)
        return;
    s->moves_job.fn = on_moves;
    s->moves_job.baton = s;
    loop_late(s->loop, &s->moves_job);
}

void sender_moves_tidy(sender_t *s)
{
    apr_hash_index_t *hi;
    apr_time_t now = mg_now();

    for (hi = apr_hash_first(NULL, s->moves); hi; hi = apr_hash_next(hi)) {
        sender_move_t *m;

        apr_hash_this(hi, NULL, NULL, (void **)&m);
        if (m->queued || m->until > now)
            continue;
        apr_hash_set(s->moves, m->key, APR_HASH_KEY_STRING, NULL);
        free(m->key);
        free(m->dest);
        free(m);
    }
}
