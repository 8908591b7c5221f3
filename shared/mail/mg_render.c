/* mg_render.c - what a copy has above the stored content. */
#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>
#include "mg_json.h"
#include "mg_render.h"

/* base64 of ["<5 hex>","<recipient>","<hex domain id>"] (reference, 3). */
static char *render_sid(const mg_message_t *message,
                        const mg_delivery_t *delivery, apr_pool_t *p)
{
    json_t *sid;
    char *text, *encoded;

    sid = json_pack("[sss]",
                    apr_psprintf(p, "%05x",
                                 (unsigned int)(message->id & 0xfffff)),
                    delivery->recipient,
                    apr_psprintf(p, "%" APR_UINT64_T_HEX_FMT,
                                 (apr_uint64_t)delivery->domain_id));
    if (sid == NULL)
        return NULL; /* the recipient is no UTF-8: it never got in */
    text = mg_json_compact(sid, p);
    json_decref(sid);
    encoded = apr_palloc(p, (apr_size_t)apr_base64_encode_len(
                                (int)strlen(text)));
    apr_base64_encode(encoded, text, (int)strlen(text));
    return encoded;
}

char *mg_render_top(const mg_message_t *message, const mg_delivery_t *delivery,
                    apr_pool_t *p)
{
    char *sid;

    if (delivery->transport != MG_TRANSPORT_SMTP)
        return "";
    sid = render_sid(message, delivery, p);
    if (sid == NULL)
        return "";
    return apr_pstrcat(p, "X-Mailgun-Sid: ", sid, "\r\n", NULL);
}
