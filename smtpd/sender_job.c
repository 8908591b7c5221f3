/* sender_job.c - a group of entries becomes a transaction: its envelope; the
 * content is sender_copy.c's.
 *
 * Outgoing messages carry a VERP sender with the message's id, and a tag of the
 * recipient where it is alone in the transaction: that differs between copies
 * that are otherwise the same, but it is the envelope's, and it is not signed.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_dsn_request.h"
#include "mg_mailbox.h"
#include "mg_sending.h"
#include "mg_srs.h"
#include "mg_status.h"
#include "mg_verp.h"
#include "sender.h"

#define MAILBOXES_MAX 10000

/* --- addresses --- */

/* What would break out of <...> never reaches the wire. */
static int is_sendable(const char *address)
{
    int quoted = 0;
    const char *c;

    for (c = address; *c; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return 0;
        if (*c == '"')
            quoted = !quoted;
        else if (*c == '\\' && quoted && c[1])
            c++;
        else if (!quoted && (*c == ' ' || *c == '<' || *c == '>'))
            return 0;
    }
    return !quoted && c != address && c - address <= 320;
}

/* A U-label needs no SMTPUTF8 if the local part needs none: it has an A-label
 * (RFC 6531 3.7.1). */
static const char *on_the_wire(const char *address, apr_pool_t *p)
{
    const char *at = strrchr(address, '@'), *c;
    char *domain;

    if (!at)
        return address;
    for (c = address; c < at; c++)
        if ((unsigned char)*c > 127)
            return address;
    for (; *c; c++)
        if ((unsigned char)*c > 127)
            break;
    if (!*c)
        return address;
    domain = dns_ascii(at + 1, p);
    if (!domain)
        return address;
    return apr_pstrcat(p, apr_pstrndup(p, address,
                                       (apr_size_t)(at + 1 - address)),
                       domain, NULL);
}

/* A mailbox's address now: it is found by its id. APR_ENOENT: deleted. */
static apr_status_t mailbox_address(const char **paddress, sender_t *s,
                                    const char *dest, apr_pool_t *p)
{
    apr_uint32_t generation = mg_shared_generation(s->worker->shared);
    apr_int64_t id = apr_atoi64(dest);
    mg_mailbox_t *mailbox;
    apr_status_t rv;

    if (generation != s->mailbox_generation
        || apr_hash_count(s->mailboxes) >= MAILBOXES_MAX) {
        apr_pool_clear(s->mailbox_pool);
        s->mailboxes = apr_hash_make(s->mailbox_pool);
        s->mailbox_generation = generation;
    }
    *paddress = apr_hash_get(s->mailboxes, dest, APR_HASH_KEY_STRING);
    if (*paddress)
        return APR_SUCCESS;
    rv = mg_mailbox_by_id(&mailbox, s->db, id, p);
    if (APR_STATUS_IS_ENOENT(rv))
        return rv;
    if (!sender_store_works(s, rv))
        return rv;
    *paddress = apr_pstrdup(s->mailbox_pool, mailbox->address);
    apr_hash_set(s->mailboxes, apr_pstrdup(s->mailbox_pool, dest),
                 APR_HASH_KEY_STRING, *paddress);
    return APR_SUCCESS;
}

static apr_status_t add_rcpt(sender_t *s, sender_group_t *g,
                             sender_entry_t *e)
{
    const char *address = e->row.recipient;
    mta_rcpt_t *rcpt;
    apr_status_t rv;

    e->stage = MG_STAGE_HOME; /* until the remote says something */
    if (e->row.transport == MG_TRANSPORT_LMTP) {
        rv = mailbox_address(&address, s, e->row.dest, g->pool);
        if (APR_STATUS_IS_ENOENT(rv)) {
            sender_failed(s, e, "550 5.1.1 the mailbox does not exist any "
                          "more", 550, NULL);
            g->n--;
            return APR_SUCCESS;
        }
        if (rv != APR_SUCCESS)
            return rv;
    }
    if (!is_sendable(address)) {
        sender_failed(s, e, "553 5.1.3 this is no address that SMTP can "
                      "carry", 553, NULL);
        g->n--;
        return APR_SUCCESS;
    }
    rcpt = &g->job.rcpts[g->job.nrcpts++];
    rcpt->address = on_the_wire(address, g->pool);
    rcpt->baton = e;
    return APR_SUCCESS;
}

/* What a route forwards goes on with what its sender asked to be told (RFC 3461
 * 5.2.1): reports find their way back to him (mg_srs.h). Under a VERP sender it
 * does not: reports would come to us. */
static void set_dsn(sender_group_t *g)
{
    const mg_message_t *m = g->message->row;
    mg_dsn_rcpt_t asked;
    mg_sending_t sending;
    int i;

    if (m->direction != MG_INCOMING || !*m->sender)
        return;
    mg_sending_read(&sending, m->options, g->pool);
    g->job.dsn_ret = sending.dsn_ret;
    g->job.dsn_envid = sending.dsn_envid;
    for (i = 0; i < g->job.nrcpts; i++) {
        const sender_entry_t *e = g->job.rcpts[i].baton;

        if (!e->row.payload || !*e->row.payload)
            continue;
        mg_dsn_payload_read(&asked, e->row.payload, g->pool);
        g->job.rcpts[i].notify = asked.notify;
        g->job.rcpts[i].orcpt = asked.orcpt;
    }
}

/* --- sender --- */

/* What the bounce address is bound to: the one recipient, the destination of
 * all, or, where one server has the mail of several domains, nothing. */
static const char *bound_to(const sender_group_t *g,
                            const sender_entry_t *first)
{
    const sender_entry_t *e;

    if (g->n == 1)
        return first->row.recipient;
    APR_RING_FOREACH(e, &g->entries, sender_entry_t, link)
        if (strcmp(e->row.dest, first->row.dest) != 0)
            return "";
    return first->row.dest;
}

/* Outgoing: a VERP sender. What a route forwards: one from which the original
 * can be read back (mg_srs.h). */
static apr_status_t set_sender(sender_t *s, sender_group_t *g,
                               const sender_entry_t *first)
{
    const mg_message_t *m = g->message->row;
    const mg_domain_t *domain;
    const char *sender;
    apr_status_t rv;

    g->job.sender = m->sender;
    if (!*m->sender || first->row.transport != MG_TRANSPORT_SMTP)
        return APR_SUCCESS;
    rv = mg_domain_cached_by_id(&domain, s->worker->domains, s->db,
                                m->domain_id);
    if (APR_STATUS_IS_ENOENT(rv)) {
        /* removed meanwhile: no bounce could come back to it */
        g->job.sender = "";
        return APR_SUCCESS;
    }
    if (!sender_store_works(s, rv))
        return rv;
    sender = m->direction == MG_OUTGOING
                 ? mg_verp_make(s->verp_key, m->id, bound_to(g, first),
                                domain->name, g->pool)
                 : mg_srs_make(s->verp_key, m->sender, domain->name_lc, m->id,
                               m->created_at, g->pool);
    g->job.sender = on_the_wire(sender, g->pool);
    return APR_SUCCESS;
}

static apr_status_t read_copy(const char **pbytes, apr_size_t *plen,
                              void *baton)
{
    sender_group_t *g = baton;

    if (g->from[0] && !g->from_said) {
        g->from_said = 1;
        *pbytes = g->from;
        *plen = strlen(g->from);
        return APR_SUCCESS;
    }
    return sender_copy_read(pbytes, plen, g->copy);
}

void sender_job_from(sender_group_t *group, const char *ip)
{
    const char *id;

    group->from_said = 0;
    group->from[0] = '\0';
    if (group->message->row->direction != MG_OUTGOING)
        return;
    id = mg_verp_report_id(group->job.sender, group->pool);
    apr_snprintf(group->from, sizeof(group->from), "%s%s%s%s%s%s",
                 *ip ? "X-Mailgun-Sending-Ip: " : "", ip, *ip ? "\r\n" : "",
                 id ? MG_VERP_FIELD ": " : "", id ? id : "",
                 id ? "\r\n" : "");
    group->job.size += (apr_int64_t)strlen(group->from);
}

/* No copy can be made, now or later: values that fill more than there may be,
 * or content that is not what was accepted. */
static void fail_all(sender_t *s, sender_group_t *g, apr_status_t rv)
{
    while (!APR_RING_EMPTY(&g->entries, sender_entry_t, link)) {
        if (rv == MG_ELIMIT)
            sender_failed(s, APR_RING_FIRST(&g->entries), "552 5.3.4 with its "
                          "variables filled in, the message is too large",
                          552, NULL);
        else
            sender_failed(s, APR_RING_FIRST(&g->entries), "554 5.6.0 the "
                          "message's variables cannot be filled in", 554,
                          NULL);
        g->n--;
    }
}

/* --- the job --- */

apr_status_t sender_job_make(sender_t *s, sender_group_t *group)
{
    const mg_message_t *m = group->message->row;
    sender_entry_t *e, *next, *first;
    apr_status_t rv;

    if (group->pool)
        apr_pool_clear(group->pool);
    else
        apr_pool_create(&group->pool, s->pool);
    memset(&group->job, 0, sizeof(group->job));
    group->job.rcpts = apr_pcalloc(group->pool, sizeof(mta_rcpt_t)
                                                    * (apr_size_t)group->n);
    for (e = APR_RING_FIRST(&group->entries);
         e != APR_RING_SENTINEL(&group->entries, sender_entry_t, link);
         e = next) {
        next = APR_RING_NEXT(e, link);
        if (!m) {
            sender_failed(s, e, "554 5.3.0 the message is not in the store "
                          "any more", 554, NULL);
            group->n--;
            continue;
        }
        rv = add_rcpt(s, group, e);
        if (rv != APR_SUCCESS)
            return rv;
    }
    if (group->job.nrcpts == 0)
        return APR_ENOENT;

    first = APR_RING_FIRST(&group->entries);
    rv = set_sender(s, group, first);
    if (rv != APR_SUCCESS)
        return rv;
    set_dsn(group);
    rv = sender_copy_make(&group->copy, s, first, group->pool);
    if (rv == MG_EBADINPUT || rv == MG_ELIMIT) {
        fail_all(s, group, rv);
        return APR_ENOENT;
    }
    if (rv != APR_SUCCESS) {
        apr_pool_clear(group->pool); /* it may wait a while */
        return rv;
    }
    group->delivered = 0;
    group->from[0] = '\0';
    group->job.size = group->copy->size;
    group->job.eight_bit = group->copy->eight_bit;
    group->job.read = read_copy;
    group->job.baton = group;
    return APR_SUCCESS;
}
