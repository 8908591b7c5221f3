/* mg_routing_ours.c - addresses that nobody but us has made: envelope senders
 * of copies (VERP) and of what routes forward (SRS), those that unsubscribe,
 * and where reports of spam come to.
 */
#include <string.h>
#include <apr_strings.h>

#include "mg_routing_private.h"
#include "mg_srs.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_verp.h"

static void add_keeper(apr_array_header_t *envelopes,
                       const mg_domain_t *domain, const mg_address_t *to,
                       const char *payload)
{
    mg_envelope_t *e = mg_routing_add(envelopes, MG_TRANSPORT_BOUNCE,
                                    to->address, to->address);

    e->dest = domain->name_lc;
    e->payload = payload;
}

/* An envelope sender of ours.
 * @return APR_ENOENT: no such address; MG_EDENIED: a forged one */
static apr_status_t add_verp(apr_array_header_t *envelopes,
                             mg_routing_t *routing,
                             const mg_domain_t *domain,
                             const mg_address_t *to, apr_pool_t *p)
{
    mg_verp_t verp;
    apr_status_t rv;

    if (!routing->has_verp_key)
        return APR_ENOENT;
    rv = mg_verp_read(&verp, routing->verp_key, to->local, domain->name_lc);
    if (rv == APR_SUCCESS)
        add_keeper(envelopes, domain, to,
                   apr_psprintf(p, "{\"message\":\"%" APR_INT64_T_FMT
                                "\",\"tag\":\"%s\"}", verp.message_id,
                                verp.tag));
    return rv;
}

/* The original sender of what we forwarded. */
static apr_status_t srs_sender(const char **psender, mg_db_t *db,
                               const mg_srs_t *srs, apr_pool_t *p)
{
    mg_message_t *m;
    apr_status_t rv;

    *psender = srs->address;
    if (srs->address)
        return APR_SUCCESS;
    rv = mg_message_get(&m, db, srs->message_id, p);
    if (rv == APR_SUCCESS)
        *psender = m->sender;
    return rv == APR_SUCCESS && !*m->sender ? APR_ENOENT : rv;
}

/* A bounce of it goes on to there.
 * @return APR_ENOENT: no such address; MG_EDENIED: a forged or old one */
static apr_status_t add_srs(apr_array_header_t *envelopes,
                            mg_routing_t *routing, mg_db_t *db,
                            const mg_domain_t *domain, const mg_address_t *to,
                            apr_pool_t *p)
{
    const char *sender;
    mg_envelope_t *e;
    mg_srs_t srs;
    apr_status_t rv;

    if (!routing->has_verp_key)
        return APR_ENOENT;
    rv = mg_srs_read(&srs, routing->verp_key, to->local, domain->name_lc,
                     mg_now(), p);
    if (rv == APR_SUCCESS)
        rv = srs_sender(&sender, db, &srs, p);
    if (rv != APR_SUCCESS)
        return rv;
    e = mg_routing_add_smtp(envelopes, sender, sender, p);
    e->came_to = to->address;
    e->came_to_as_given = to->as_given;
    return APR_SUCCESS;
}

/* One that unsubscribes (mg_track.h). */
static apr_status_t add_unsubscribe(apr_array_header_t *envelopes,
                                    mg_routing_t *routing,
                                    const mg_domain_t *domain,
                                    const mg_address_t *to)
{
    mg_track_mail_t mail;
    apr_status_t rv;

    if (!routing->tracking)
        return APR_ENOENT;
    rv = mg_track_mail_read(&mail, routing->tracking, domain->id, to->local);
    if (rv == APR_SUCCESS)
        add_keeper(envelopes, domain, to, "{\"unsubscribe\":true}");
    return rv;
}

/* MailgunFeedbackAddress */
static apr_status_t add_feedback(apr_array_header_t *envelopes,
                                 mg_routing_t *routing,
                                 const mg_domain_t *domain,
                                 const mg_address_t *to)
{
    const char *feedback = routing->feedback;

    if (!feedback || strcasecmp(feedback, strchr(feedback, '@')
                                              ? to->address : to->local) != 0)
        return APR_ENOENT;
    add_keeper(envelopes, domain, to, "{\"feedback\":true}");
    return APR_SUCCESS;
}

/* Addresses that nobody but us has made. */
apr_status_t mg_routing_add_signed(apr_array_header_t *envelopes,
                               mg_routing_t *routing, mg_db_t *db,
                               const mg_domain_t *domain,
                               const mg_address_t *to, apr_pool_t *p)
{
    apr_status_t rv = add_verp(envelopes, routing, domain, to, p);

    if (rv == APR_ENOENT)
        rv = add_unsubscribe(envelopes, routing, domain, to);
    return rv == APR_ENOENT ? add_srs(envelopes, routing, db, domain, to, p)
                            : rv;
}

apr_status_t mg_routing_add_ours(apr_array_header_t *envelopes,
                             mg_routing_t *routing, mg_db_t *db,
                             const mg_domain_t *domain,
                             const mg_address_t *to, apr_pool_t *p)
{
    apr_status_t rv = mg_routing_add_signed(envelopes, routing, db, domain,
                                            to, p);

    if (rv == APR_ENOENT)
        rv = add_feedback(envelopes, routing, domain, to);
    return rv;
}

int mg_routing_is_keepers(const mg_wanted_t *wanted)
{
    return wanted->sure->nelts > 0
           && APR_ARRAY_IDX(wanted->sure, 0, mg_envelope_t).transport
                  == MG_TRANSPORT_BOUNCE;
}
