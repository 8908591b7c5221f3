/* mg_render_link.c - where unsubscribe variables lead.
 *
 * Stable, unsigned placeholders: they name domain, message and recipient, but
 * nobody serves them yet. mg_render_link() is the one place to change.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_render.h"
#include "mg_text.h"

/* The query string of the reference, section 4, without its MAC. */
static char *token_of(mg_link_kind_t kind, const mg_render_for_t *who,
                      apr_pool_t *p)
{
    const char *tag = kind == MG_LINK_UNSUBSCRIBE_TAG ? "tag"
                      : kind == MG_LINK_UNSUBSCRIBE_LIST ? "list" : "*";
    char *query = apr_psprintf(p, "d=%" APR_UINT64_T_HEX_FMT "&i=%"
                               APR_UINT64_T_HEX_FMT "&r=%s&t=%s",
                               (apr_uint64_t)who->message->domain_id,
                               (apr_uint64_t)who->message->id,
                               who->delivery ? who->delivery->recipient : "",
                               tag);

    return mg_text_base64url(query, strlen(query), p);
}

const char *mg_render_link(mg_link_kind_t kind, const mg_render_for_t *who,
                           apr_pool_t *p)
{
    /* A local part has 64 octets: here the delivery's id must do. */
    if (kind == MG_LINK_UNSUBSCRIBE_EMAIL)
        return apr_psprintf(p, "u+%" APR_UINT64_T_HEX_FMT "@%s",
                            (apr_uint64_t)(who->delivery ? who->delivery->id
                                                         : who->message->id),
                            who->domain);
    return apr_pstrcat(p, "http://email.", who->domain, "/u/",
                       token_of(kind, who, p), NULL);
}
