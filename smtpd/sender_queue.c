/* sender_queue.c - claimed deliveries and their messages in memory.
 *
 * A claimed row is copied into one block, so that a slow one does not keep the
 * memory of the hundreds it was claimed with. Messages are shared by their
 * entries and counted; content is kept only where it is small, and only within
 * CONTENT_CACHE: the rest is read slice by slice as it goes out.
 */
#include <apr_strings.h>
#include <stdlib.h>
#include <string.h>

#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mta_site.h"
#include "sender.h"

#define CONTENT_SMALL (64 * 1024)
#define CONTENT_CACHE (32 * 1024 * 1024)

static void *need(void *memory)
{
    if (!memory)
        abort(); /* as APR's pools do */
    return memory;
}

/* --- messages --- */

static sender_message_t *message_hold(sender_t *s, apr_int64_t id)
{
    sender_message_t *m = apr_hash_get(s->messages, &id, sizeof(id));

    if (!m) {
        m = need(calloc(1, sizeof(*m)));
        m->id = id;
        apr_hash_set(s->messages, &m->id, sizeof(m->id), m);
    }
    m->refs++;
    return m;
}

static void message_let_go(sender_t *s, sender_message_t *m)
{
    if (--m->refs > 0)
        return;
    if (m->row && m->row->bytes)
        s->content_bytes -= (apr_int64_t)m->row->bytes_len;
    if (m->parsed)
        s->template_bytes -= mg_template_memory(m->parsed);
    apr_hash_set(s->messages, &m->id, sizeof(m->id), NULL);
    if (m->pool)
        apr_pool_destroy(m->pool);
    free(m);
}

void sender_list_unread(sender_message_t **list, int *pn, sender_message_t *m)
{
    int i;

    for (i = 0; i < *pn && list[i] != m; i++)
        ;
    if (i == *pn && m->state == SENDER_UNREAD)
        list[(*pn)++] = m;
}

apr_status_t sender_read_messages(sender_t *s, sender_message_t **messages,
                                  int n)
{
    mg_message_t *rows[MG_MESSAGES_AT_ONCE];
    apr_pool_t *pools[MG_MESSAGES_AT_ONCE];
    apr_int64_t ids[MG_MESSAGES_AT_ONCE];
    int i, cached = s->content_bytes < CONTENT_CACHE;
    apr_status_t rv;

    if (n < 1)
        return APR_SUCCESS;
    for (i = 0; i < n; i++) {
        ids[i] = messages[i]->id;
        if (!messages[i]->pool)
            apr_pool_create(&messages[i]->pool, s->pool);
        pools[i] = messages[i]->pool;
    }
    rv = mg_message_get_many(rows, s->db, ids, pools, n,
                             cached ? CONTENT_SMALL : 0);
    if (!sender_store_works(s, rv))
        return rv;
    for (i = 0; i < n; i++) {
        messages[i]->row = rows[i];
        messages[i]->state = rows[i] ? SENDER_THERE : SENDER_GONE;
        if (rows[i])
            mg_sending_read(&messages[i]->sending, rows[i]->options,
                            messages[i]->pool);
        if (rows[i] && rows[i]->bytes)
            s->content_bytes += (apr_int64_t)rows[i]->bytes_len;
    }
    return APR_SUCCESS;
}

/* --- owners --- */

static sender_owner_t *owner_hold(sender_t *s, apr_int64_t domain_id)
{
    sender_owner_t *owner = apr_hash_get(s->owners, &domain_id,
                                         sizeof(domain_id));

    if (!owner) {
        owner = need(calloc(1, sizeof(*owner)));
        owner->domain_id = domain_id;
        apr_hash_set(s->owners, &owner->domain_id, sizeof(owner->domain_id),
                     owner);
    }
    owner->nheld++;
    return owner;
}

static void owner_let_go(sender_t *s, sender_owner_t *owner)
{
    if (--owner->nheld > 0)
        return;
    apr_hash_set(s->owners, &owner->domain_id, sizeof(owner->domain_id),
                 NULL);
    free(owner);
}

/* --- entries --- */

static char *put(char **pat, const char *text)
{
    apr_size_t len;
    char *to = *pat;

    if (!text)
        return NULL;
    len = strlen(text) + 1;
    memcpy(to, text, len);
    *pat += len;
    return to;
}

static apr_size_t room(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

sender_entry_t *sender_hold(sender_t *s, const mg_delivery_t *delivery,
                            apr_time_t lease_until)
{
    const mg_delivery_t *d = delivery;
    sender_entry_t *e;
    char *at;

    e = need(malloc(sizeof(*e) + room(d->recipient)
                    + room(d->recipient_as_given) + room(d->variables)
                    + room(d->dest) + room(d->target) + room(d->payload)
                    + room(d->last_reply)));
    memset(e, 0, sizeof(*e));
    at = (char *)(e + 1);
    e->row = *d;
    e->row.recipient = put(&at, d->recipient);
    e->row.recipient_as_given = put(&at, d->recipient_as_given);
    e->row.variables = put(&at, d->variables);
    e->row.dest = put(&at, d->dest);
    e->row.target = put(&at, d->target);
    e->row.payload = put(&at, d->payload);
    e->row.last_reply = put(&at, d->last_reply);
    e->lease_until = lease_until;
    e->message = message_hold(s, d->message_id);
    e->owner = owner_hold(s, d->domain_id);
    APR_RING_ELEM_INIT(e, link);
    APR_RING_INSERT_TAIL(&s->held, e, sender_entry_t, held);
    s->nheld++;
    return e;
}

void sender_let_go(sender_t *s, sender_entry_t *entry)
{
    APR_RING_REMOVE(entry, held);
    s->nheld--;
    message_let_go(s, entry->message);
    owner_let_go(s, entry->owner);
    free(entry->reply);
    free(entry);
}

/* --- groups --- */

sender_group_t *sender_group_make(sender_t *s, sender_entry_t *first)
{
    sender_group_t *g = need(calloc(1, sizeof(*g)));

    APR_RING_ELEM_INIT(g, link);
    APR_RING_INIT(&g->entries, sender_entry_t, link);
    g->sender = s;
    g->message = first->message;
    g->domain_id = first->row.domain_id;
    g->message->refs++; /* entries may leave before the connection is done */
    sender_group_add(g, first);
    return g;
}

int sender_group_takes(const sender_group_t *group,
                       const sender_entry_t *entry)
{
    return group->message == entry->message && group->n < SENDER_GROUP_MAX
           && (group->message->state != SENDER_THERE
               || sender_copy_is_shared(group->message));
}

void sender_group_add(sender_group_t *group, sender_entry_t *entry)
{
    APR_RING_INSERT_TAIL(&group->entries, entry, sender_entry_t, link);
    group->n++;
}

sender_group_t *sender_group_cut(sender_group_t *group, int keep)
{
    sender_group_t *rest = NULL;
    sender_entry_t *e;

    while (group->n > keep) {
        e = APR_RING_LAST(&group->entries);
        APR_RING_REMOVE(e, link);
        group->n--;
        if (!rest) {
            rest = sender_group_make(group->sender, e);
            continue;
        }
        APR_RING_INSERT_HEAD(&rest->entries, e, sender_entry_t, link);
        rest->n++;
    }
    return rest;
}

sender_group_t *sender_group_split(sender_group_t *group)
{
    if (group->message->state != SENDER_THERE
        || sender_copy_is_shared(group->message))
        return NULL;
    return sender_group_cut(group, 1);
}

void sender_group_free(sender_group_t *group)
{
    if (group->pool)
        apr_pool_destroy(group->pool);
    message_let_go(group->sender, group->message);
    free(group);
}

/* --- leases --- */

int sender_lease_is_good(const sender_t *s, const sender_entry_t *entry)
{
    return !entry->lost
           && entry->lease_until - mg_ticks() >= s->config->lease / 4;
}

static apr_status_t renew_some(sender_t *s, apr_array_header_t *rows,
                               sender_entry_t **entries)
{
    apr_time_t now = mg_ticks();
    apr_status_t rv;
    int i, lost = 0;

    rv = mg_queue_renew(&lost, s->db, rows, s->config->lease);
    if (!sender_store_works(s, rv))
        return rv;
    for (i = 0; i < rows->nelts; i++) {
        if (entries[i]->row.claim_no >= 0)
            entries[i]->lease_until = now + s->config->lease;
        else {
            entries[i]->lost = 1;
            mg_log(MG_LOG_WARN, MG_ELEASE, "message %" APR_INT64_T_FMT
                   " delivery %" APR_INT64_T_FMT ": the lease was lost",
                   entries[i]->row.message_id, entries[i]->row.id);
        }
    }
    if (lost > 0)
        mta_sites_drop_lost(s);
    return APR_SUCCESS;
}

#define RENEW_AT_ONCE 200

apr_status_t sender_renew_some(sender_t *s, int *pmore)
{
    sender_entry_t *entries[RENEW_AT_ONCE], *e;
    apr_time_t half = mg_ticks() + s->config->lease / 2;
    apr_status_t rv = APR_SUCCESS;
    apr_array_header_t *rows;
    apr_pool_t *ptemp;

    apr_pool_create(&ptemp, s->pool);
    rows = apr_array_make(ptemp, RENEW_AT_ONCE, sizeof(mg_delivery_t *));
    APR_RING_FOREACH(e, &s->held, sender_entry_t, held) {
        if (e->lease_until > half || e->lost)
            continue;
        entries[rows->nelts] = e;
        APR_ARRAY_PUSH(rows, mg_delivery_t *) = &e->row;
        if (rows->nelts == RENEW_AT_ONCE)
            break;
    }
    if (rows->nelts > 0)
        rv = renew_some(s, rows, entries);
    *pmore = rv == APR_SUCCESS && rows->nelts == RENEW_AT_ONCE;
    apr_pool_destroy(ptemp);
    return rv;
}

apr_status_t sender_renew(sender_t *s)
{
    apr_status_t rv;
    int more;

    do
        rv = sender_renew_some(s, &more);
    while (more);
    return rv;
}
