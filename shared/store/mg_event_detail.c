/* mg_event_detail.c - event.detail: a JSON object with what is known of an
 * event besides its columns.
 *
 *   code, reply, mx, tls, tls-version, tls-cipher, certificate-verified,
 *   tls-policy, utf8, session-seconds, sending-ip, class, notify, reason,
 *   attempt, retry_in
 *                      of whatever somebody was asked about
 *   is-test-mode, machine    true, or not there
 *   tags               ["newsletter"], as given
 *   campaigns          ["my_campaign_id"], public ids
 *   mailing-list, url, tag
 *   ip                 "192.0.2.1"
 *   geolocation        {"country", "region", "city"}
 *   client-info        {"client-type", "client-name", "client-os",
 *                       "device-type", "user-agent"}
 *   recipient-variables   delivered: of a batch, the recipient's own, for
 *                      events that come after its delivery is gone
 *
 * Names as the events API has them, where it does. A member that is not known
 * is not there. Hand-made: this runs per event.
 */
#include <string.h>
#include <apr_strings.h>

#include "mg_event_private.h"
#include "mg_text.h"

/* s as a JSON string; s is valid UTF-8. */
static const char *json_string_of(const char *s, apr_pool_t *p)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *c;
    char *out, *o;

    out = o = apr_palloc(p, strlen(s) * 6 + 3);
    *o++ = '"';
    for (c = (const unsigned char *)s; *c; c++) {
        if (*c == '"' || *c == '\\') {
            *o++ = '\\';
            *o++ = (char)*c;
        }
        else if (*c < 0x20) {
            memcpy(o, "\\u00", 4);
            o[4] = hex[*c >> 4];
            o[5] = hex[*c & 15];
            o += 6;
        }
        else {
            *o++ = (char)*c;
        }
    }
    *o++ = '"';
    *o = '\0';
    return out;
}

const char *mg_event_json_text(const char *s, apr_pool_t *p)
{
    return json_string_of(mg_text_clean(s, strlen(s), p), p);
}

/* --- members --- */

/* What stands between { and }, in pieces. */
typedef struct {
    apr_array_header_t *pieces;  /* of const char * */
    apr_pool_t *p;
} members_t;

static members_t members_make(int n, apr_pool_t *p)
{
    members_t m = { apr_array_make(p, n, sizeof(const char *)), p };

    return m;
}

/* key: with its quotes and colon. */
static void put(members_t *m, const char *key, const char *json)
{
    APR_ARRAY_PUSH(m->pieces, const char *) = m->pieces->nelts ? "," : "{";
    APR_ARRAY_PUSH(m->pieces, const char *) = key;
    APR_ARRAY_PUSH(m->pieces, const char *) = json;
}

static void put_text(members_t *m, const char *key, const char *text)
{
    if (text)
        put(m, key, mg_event_json_text(text, m->p));
}

static void put_bool(members_t *m, const char *key, int value)
{
    put(m, key, value ? "true" : "false");
}

static void put_texts(members_t *m, const char *key,
                      const apr_array_header_t *texts)
{
    const char *json = "[";
    int i;

    if (!texts || texts->nelts == 0)
        return;
    for (i = 0; i < texts->nelts; i++)
        json = apr_pstrcat(m->p, json, i ? "," : "",
                           mg_event_json_text(
                               APR_ARRAY_IDX(texts, i, const char *), m->p),
                           NULL);
    put(m, key, apr_pstrcat(m->p, json, "]", NULL));
}

static const char *members_done(const members_t *m)
{
    if (m->pieces->nelts == 0)
        return "{}";
    APR_ARRAY_PUSH(m->pieces, const char *) = "}";
    return apr_array_pstrcat(m->p, m->pieces, 0);
}

/* --- an event's --- */

static int has_answer(const mg_event_t *event)
{
    if (event->testmode)
        return 0;
    switch (event->kind) {
    case MG_EVENT_DELIVERED:
    case MG_EVENT_FAILED_TEMP:
    case MG_EVENT_FAILED:
    case MG_EVENT_FAILED_LATE:
    case MG_EVENT_DROPPED:
    case MG_EVENT_POSTED:
    case MG_EVENT_FORWARD_FAILED:
    case MG_EVENT_MAILBOX:
    case MG_EVENT_REFUSED:
        return 1;
    default:
        return 0;
    }
}

/* How the mx was reached. */
static void put_way(members_t *m, const mg_event_t *event)
{
    if (!event->mx || !event->tls_policy)
        return;
    put_bool(m, "\"tls\":", event->tls != NULL);
    put_text(m, "\"tls-version\":", event->tls);
    put_text(m, "\"tls-cipher\":", event->tls_cipher);
    put_bool(m, "\"certificate-verified\":", event->verified);
    put_text(m, "\"tls-policy\":", event->tls_policy);
    put_bool(m, "\"utf8\":", event->utf8);
    if (event->session > 0)
        put(m, "\"session-seconds\":",
            apr_psprintf(m->p, "%.3f", (double)event->session / 1e6));
    put_text(m, "\"sending-ip\":", event->sending_ip);
}

/* {"code":550,"reply":"550 5.1.1 no","mx":"mx.x","class":"unknown",
 * "attempt":1}; what nobody was asked about has no code */
static void put_answer(members_t *m, const mg_event_t *event)
{
    put(m, "\"code\":", apr_itoa(m->p, event->code));
    put_text(m, "\"reply\":", event->reply);
    put_text(m, "\"mx\":", event->mx);
    put_way(m, event);
    put_text(m, "\"class\":", event->bounce_class);
    put_text(m, "\"notify\":", event->notify);
    put_text(m, "\"reason\":", event->reason);
    put(m, "\"attempt\":", apr_itoa(m->p, event->attempt));
    if (event->retry_in)
        put(m, "\"retry_in\":", apr_psprintf(m->p, "%" APR_INT64_T_FMT,
                                             apr_time_sec(event->retry_in)));
}

static void put_place(members_t *m, const mg_event_t *event)
{
    members_t place;

    if (!event->country && !event->region && !event->city)
        return;
    place = members_make(12, m->p);
    put_text(&place, "\"country\":", event->country);
    put_text(&place, "\"region\":", event->region);
    put_text(&place, "\"city\":", event->city);
    put(m, "\"geolocation\":", members_done(&place));
}

static void put_client(members_t *m, const mg_event_t *event)
{
    members_t client;

    if (!event->client_type && !event->client_name && !event->client_os
        && !event->device_type && !event->user_agent)
        return;
    client = members_make(16, m->p);
    put_text(&client, "\"client-type\":", event->client_type);
    put_text(&client, "\"client-name\":", event->client_name);
    put_text(&client, "\"client-os\":", event->client_os);
    put_text(&client, "\"device-type\":", event->device_type);
    put_text(&client, "\"user-agent\":", event->user_agent);
    put(m, "\"client-info\":", members_done(&client));
}

const char *mg_event_detail(const mg_event_t *event, apr_pool_t *p)
{
    members_t m = members_make(32, p);

    if (event->testmode)
        put_bool(&m, "\"is-test-mode\":", 1);
    if (event->machine)
        put_bool(&m, "\"machine\":", 1);
    if (has_answer(event))
        put_answer(&m, event);
    put_texts(&m, "\"tags\":", event->tags);
    put_texts(&m, "\"campaigns\":", event->campaigns);
    put_text(&m, "\"mailing-list\":", event->mailing_list);
    put_text(&m, "\"url\":", event->url);
    put_text(&m, "\"tag\":", event->tag);
    put_text(&m, "\"ip\":", event->ip);
    put_place(&m, event);
    put_client(&m, event);
    if (event->kind == MG_EVENT_DELIVERED && event->variables
        && event->variables[0] == '{' && event->variables[1] != '}')
        put(&m, "\"recipient-variables\":", event->variables);
    return members_done(&m);
}
