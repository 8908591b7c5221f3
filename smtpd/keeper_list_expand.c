/* keeper_list_expand.c - a list's message gets its members' deliveries.
 *
 * A step reads the next members and asks who gets their mail; then one
 * transaction adds them and says how far it is, WHERE the claim still stands.
 * It need not wait for the disk: what is lost with the machine is done again.
 */
#include <stdlib.h>
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "keeper_list.h"
#include "mg_address.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_log.h"
#include "mg_mime.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_tx.h"

#define MEMBERS_AT_ONCE 200

/* payload: {"list":"4711","by":"1763...","after":"bob@x","n":"200"} */
typedef struct {
    apr_int64_t list_id, by, n;   /* by: who was a member then */
    const char *after;
} progress_t;

static const char *payload_of(const progress_t *at, apr_pool_t *p)
{
    json_t *json = json_pack(
        "{s:s, s:s, s:s, s:s}",
        "list", apr_psprintf(p, "%" APR_INT64_T_FMT, at->list_id),
        "by", apr_psprintf(p, "%" APR_INT64_T_FMT, at->by),
        "after", at->after, "n", apr_psprintf(p, "%" APR_INT64_T_FMT, at->n));

    mg_json_bind(json, p);
    return mg_json_compact(json, p);
}

const char *keeper_list_begin(apr_int64_t list_id, apr_time_t posted_at,
                              apr_pool_t *p)
{
    progress_t at = { list_id, posted_at, 0, "" };

    return payload_of(&at, p);
}

static apr_int64_t number(const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));

    return text ? apr_atoi64(text) : 0;
}

static void read_payload(progress_t *at, const char *payload, apr_pool_t *p)
{
    const char *error, *text = payload ? payload : "";
    json_t *json = mg_json_parse(text, strlen(text), &error, p);
    const char *after = json_string_value(json_object_get(json, "after"));

    at->list_id = number(json, "list");
    at->by = number(json, "by");
    at->n = number(json, "n");
    at->after = after ? after : "";
}

/* --- who gets it --- */

/* `Bob Lee <bob@x>`, the name in quotes where it must be. */
static const char *as_given(const mg_list_member_t *m, apr_pool_t *p)
{
    const char *c;
    char *quoted, *q;

    if (!m->name || !*m->name)
        return m->address;
    for (c = m->name; *c; c++)
        if ((unsigned char)*c < 128 && !apr_isalnum(*c)
            && !strchr(" -_!#$%&'*+/=?^`{|}~", *c))
            break;
    if (!*c)
        return apr_pstrcat(p, m->name, " <", m->address, ">", NULL);
    quoted = q = apr_palloc(p, 2 * strlen(m->name) + 3);
    *q++ = '"';
    for (c = m->name; *c; c++) {
        if (*c == '"' || *c == '\\')
            *q++ = '\\';
        *q++ = (unsigned char)*c < ' ' ? ' ' : *c;
    }
    *q++ = '"';
    *q = '\0';
    return apr_pstrcat(p, quoted, " <", m->address, ">", NULL);
}

static apr_status_t route_one(apr_array_header_t *envelopes,
                              keeper_list_t *lists,
                              const mg_message_t *message,
                              const mg_list_member_t *member,
                              const apr_array_header_t *headers, apr_pool_t *p)
{
    int i = envelopes->nelts;
    mg_address_t to = { .name = member->name, .address = member->address };
    const char *at = strrchr(member->address, '@');
    apr_status_t rv;

    if (!at)
        return APR_SUCCESS;
    to.local = apr_pstrmemdup(p, member->address,
                              (apr_size_t)(at - member->address));
    to.domain = at + 1;
    to.as_given = as_given(member, p);
    rv = mg_routing_recipient(envelopes, lists->routing, lists->worker->db,
                              &to, NULL, headers, MG_ROUTING_OUTGOING,
                              message->account_id, p);
    for (; rv == APR_SUCCESS && i < envelopes->nelts; i++) {
        mg_envelope_t *e = &APR_ARRAY_IDX(envelopes, i, mg_envelope_t);

        e->recipient_as_given = to.as_given;
        e->variables = member->vars;
        e->due_at = mg_now();
        e->expires_at = e->due_at + lists->worker->config->retry_limit;
    }
    return rv;
}

static apr_status_t route_all(mg_message_t *message, keeper_list_t *lists,
                              const apr_array_header_t *members,
                              apr_pool_t *p)
{
    apr_array_header_t *headers;
    const void *bytes;
    apr_size_t len;
    apr_status_t rv;
    int i;

    rv = mg_message_slice(&bytes, &len, lists->worker->db, message->id, 0, p);
    if (rv == APR_SUCCESS)
        rv = mg_mime_headers(&headers, NULL, bytes, len, p);
    message->envelopes = apr_array_make(p, members->nelts,
                                        sizeof(mg_envelope_t));
    for (i = 0; rv == APR_SUCCESS && i < members->nelts; i++)
        rv = route_one(message->envelopes, lists, message,
                       APR_ARRAY_IDX(members, i, const mg_list_member_t *),
                       headers, p);
    return rv;
}

/* --- the store --- */

static apr_status_t write_step(mg_db_t *db, const mg_delivery_t *row,
                               const mg_message_t *message,
                               const progress_t *at, int is_last,
                               apr_pool_t *p)
{
    apr_status_t rv;

    if (is_last)
        rv = mg_queue_settle(db, row);
    else
        rv = mg_db_exec_one(db, MG_ELEASE, "UPDATE delivery SET payload = $1,"
                            " due_at = $2, claimed_by = 0 WHERE id = $3"
                            " AND claim_no = $4", "tiii", payload_of(at, p),
                            (apr_int64_t)mg_now(), row->id, row->claim_no);
    if (rv == APR_SUCCESS && message->envelopes->nelts > 0)
        rv = mg_message_add_recipients(db, message, p);
    return rv;
}

static apr_status_t commit(keeper_list_t *lists, const mg_delivery_t *row,
                           const mg_message_t *message, const progress_t *at,
                           int is_last, apr_pool_t *p)
{
    mg_db_t *db = lists->worker->db;
    apr_status_t rv = mg_tx_begin(db, MG_TX_WRITE);

    if (rv != APR_SUCCESS)
        return rv;
    mg_tx_lazy(db);
    return mg_tx_leave(db, 1, write_step(db, row, message, at, is_last, p));
}

/* The next ones. A list that is gone has none. */
static apr_status_t read_members(apr_array_header_t **pmembers,
                                 keeper_list_t *lists, const progress_t *at,
                                 apr_pool_t *p)
{
    mg_list_page_t page = { .after = at->after, .subscribed = 1,
                            .created_by = at->by, .limit = MEMBERS_AT_ONCE };
    mg_list_t *list;
    apr_status_t rv;

    *pmembers = apr_array_make(p, 1, sizeof(mg_list_member_t *));
    rv = mg_list_by_id(&list, lists->worker->db, at->list_id, p);
    if (rv == APR_SUCCESS)
        rv = mg_list_members(pmembers, lists->worker->db, at->list_id, &page,
                             p);
    return APR_STATUS_IS_ENOENT(rv) ? APR_SUCCESS : rv;
}

apr_status_t keeper_list_expand(keeper_list_t *lists, const mg_delivery_t *row,
                                apr_pool_t *ptemp)
{
    apr_array_header_t *members;
    mg_message_t *message;
    progress_t at;
    apr_status_t rv;
    int is_last;

    read_payload(&at, row->payload, ptemp);
    rv = mg_message_get(&message, lists->worker->db, row->message_id, ptemp);
    if (rv == APR_SUCCESS)
        rv = read_members(&members, lists, &at, ptemp);
    if (rv == APR_SUCCESS)
        rv = route_all(message, lists, members, ptemp);
    if (rv != APR_SUCCESS)
        return rv;
    is_last = members->nelts < MEMBERS_AT_ONCE;
    if (members->nelts > 0)
        at.after = APR_ARRAY_IDX(members, members->nelts - 1,
                                 mg_list_member_t *)->address;
    at.n += members->nelts;
    rv = commit(lists, row, message, &at, is_last, ptemp);
    if (rv == APR_SUCCESS && is_last)
        mg_log(MG_LOG_INFO, APR_SUCCESS, "list %s: message %" APR_INT64_T_FMT
               " has gone to %" APR_INT64_T_FMT " members", row->recipient,
               row->message_id, at.n);
    return rv;
}
