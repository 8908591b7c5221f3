/* mg_render.c - what a copy has above the stored content; what events show. */
#include <apr_base64.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"

/* base64 of ["<5 hex>","<recipient>","<hex domain id>"] (reference, 3). Where
 * recipients share a copy, the message's id stands for them. */
static char *render_sid(const mg_render_for_t *who, apr_pool_t *p)
{
    const mg_message_t *message = who->message;
    json_t *sid;
    char *text, *encoded;

    sid = json_pack("[sss]",
                    apr_psprintf(p, "%05x",
                                 (unsigned int)(message->id & 0xfffff)),
                    who->delivery
                        ? who->delivery->recipient
                        : apr_psprintf(p, "%" APR_UINT64_T_HEX_FMT,
                                       (apr_uint64_t)message->id),
                    apr_psprintf(p, "%" APR_UINT64_T_HEX_FMT,
                                 (apr_uint64_t)message->domain_id));
    if (sid == NULL)
        return NULL; /* the recipient is no UTF-8: it never got in */
    text = mg_json_compact(sid, p);
    json_decref(sid);
    encoded = apr_palloc(p, (apr_size_t)apr_base64_encode_len(
                                (int)strlen(text)));
    apr_base64_encode(encoded, text, (int)strlen(text));
    return encoded;
}

/* That marks the list's member. */
static const char *list_unsubscribe(const mg_render_for_t *who, apr_pool_t *p)
{
    const char *mail = NULL, *url = NULL;

    if (who->list->unsubscribe >= MG_LIST_MAIL_LINK)
        mail = mg_render_link(MG_LINK_UNSUBSCRIBE_LIST_EMAIL, who, p);
    if (who->list->unsubscribe == MG_LIST_LINKS)
        url = mg_render_link(MG_LINK_UNSUBSCRIBE_LIST, who, p);
    if (!mail)
        return "";
    if (!url)
        return apr_pstrcat(p, "List-Unsubscribe: <mailto:", mail, ">\r\n",
                           NULL);
    return apr_pstrcat(p, "List-Unsubscribe: <", url, ">,\r\n <mailto:", mail,
                       ">\r\nList-Unsubscribe-Post:"
                       " List-Unsubscribe=One-Click\r\n", NULL);
}

const char *mg_render_list_fields(const mg_render_for_t *who, apr_pool_t *p)
{
    return who->list ? apr_pstrcat(p, who->list->fields,
                                   list_unsubscribe(who, p), NULL)
                     : "";
}

char *mg_render_top(const mg_render_for_t *who, apr_pool_t *p)
{
    char *sid = render_sid(who, p);

    if (sid == NULL)
        return "";
    return apr_pstrcat(p, "X-Mailgun-Sid: ", sid, "\r\n",
                       mg_render_list_fields(who, p), NULL);
}

const char *mg_render_variables(const mg_render_for_t *who, apr_pool_t *p)
{
    const char *text = who->message->variables, *why;
    render_values_t values;
    json_t *json;

    if (text == NULL || *text == '\0' || !strchr(text, '%')
        || who->delivery == NULL)
        return text;
    json = mg_json_parse(text, strlen(text), &why, p);
    if (json == NULL)
        return text;
    render_values_init(&values, who, p);
    json = render_json(json, &values);
    text = mg_json_compact(json, p);
    json_decref(json);
    return text;
}

const char *mg_render_line(const char *line, const mg_render_for_t *who,
                           apr_pool_t *p)
{
    apr_array_header_t *tokens;
    render_values_t values;
    int variables;
    apr_size_t len;

    if (line == NULL || who->delivery == NULL || !strchr(line, '%'))
        return line;
    render_parse(&tokens, &variables, line, strlen(line), p);
    if (variables == 0)
        return line;
    render_values_init(&values, who, p);
    return render_text(&len, tokens, &values, RENDER_LINE);
}
