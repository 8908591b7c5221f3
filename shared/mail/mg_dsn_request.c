/* mg_dsn_request.c - see mg_dsn_request.h. RFC 3461 4; RFC 6533 3 for ORCPT of
 * type utf-8. */
#include "mg_dsn_request.h"

#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_json.h"
#include "mg_status.h"

static int is_name(const char *text, apr_size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp(text, name, len) == 0;
}

/*   xtext = *( xchar / hexchar )
 *   xchar = any ASCII CHAR between "!" (33) and "~" (126) inclusive, except
 *           for "+" and "="
 *   hexchar = "+" and two upper-case hexadecimal digits */
static int hex_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static apr_status_t decode(char *to, const char *xtext, apr_size_t len,
                           int utf8)
{
    apr_size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)xtext[i];

        if (c == '+') {
            int high = i + 2 < len ? hex_of(xtext[i + 1]) : -1;
            int low = i + 2 < len ? hex_of(xtext[i + 2]) : -1;

            if (high < 0 || low < 0)
                return MG_EBADINPUT;
            *to++ = (char)(high << 4 | low);
            i += 2;
            continue;
        }
        if (c <= ' ' || c == '=' || c == 127 || (c > 127 && !utf8))
            return MG_EBADINPUT;
        *to++ = (char)c;
    }
    *to = '\0';
    return APR_SUCCESS;
}

apr_status_t mg_xtext_decode(char **ptext, const char *xtext, apr_size_t len,
                             apr_pool_t *p)
{
    *ptext = apr_palloc(p, len + 1);
    return decode(*ptext, xtext, len, 1);
}

/* It will stand in a header field of a report. */
static int is_fine_xtext(const char *xtext, apr_size_t len, int utf8)
{
    char text[MG_DSN_ORCPT_MAX + 1];
    apr_size_t i, n;

    if (len > MG_DSN_ORCPT_MAX || memchr(xtext, '\0', len) != NULL
        || decode(text, xtext, len, utf8) != APR_SUCCESS)
        return 0;
    n = 0;
    for (i = 0; i < len; i++, n++)
        if (xtext[i] == '+')
            i += 2;
    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];

        if (c < ' ' || c == 127 || (c > 127 && !utf8))
            return 0;
    }
    return 1;
}

/* --- MAIL --- */

apr_status_t mg_dsn_mail_param(mg_dsn_mail_t *mail, const char *name,
                               apr_size_t name_len, const char *value,
                               apr_size_t value_len, apr_pool_t *p)
{
    if (is_name(name, name_len, "RET")) {
        if (mail->ret != NULL)
            return MG_EBADINPUT;
        if (is_name(value, value_len, "FULL"))
            mail->ret = "FULL";
        else if (is_name(value, value_len, "HDRS"))
            mail->ret = "HDRS";
        return mail->ret != NULL ? APR_SUCCESS : MG_EBADINPUT;
    }
    if (is_name(name, name_len, "ENVID")) {
        if (mail->envid != NULL || value_len == 0
            || value_len > MG_DSN_ENVID_MAX
            || !is_fine_xtext(value, value_len, 0))
            return MG_EBADINPUT;
        mail->envid = apr_pstrmemdup(p, value, value_len);
        return APR_SUCCESS;
    }
    return APR_ENOENT;
}

/* --- RCPT --- */

/*   notify-esmtp-value = "NEVER" / notify-list-element *( "," ... )
 *   notify-list-element = "SUCCESS" / "FAILURE" / "DELAY" */
static apr_status_t read_notify(mg_dsn_rcpt_t *rcpt, const char *value,
                                apr_size_t len, apr_pool_t *p)
{
    static const char *const names[] = { "SUCCESS", "FAILURE", "DELAY" };
    const char *end = value + len, *list = "";
    int i, asked = 0;

    if (rcpt->notify != NULL)
        return MG_EBADINPUT;
    if (is_name(value, len, "NEVER")) {
        rcpt->notify = "NEVER";
        return APR_SUCCESS;
    }
    for (;;) {
        const char *comma = memchr(value, ',', (apr_size_t)(end - value));
        apr_size_t n = (apr_size_t)((comma ? comma : end) - value);

        for (i = 0; i < 3 && !is_name(value, n, names[i]); i++)
            ;
        if (i == 3 || (asked & 1 << i))
            return MG_EBADINPUT;
        asked |= 1 << i;
        if (comma == NULL)
            break;
        value = comma + 1;
    }
    for (i = 0; i < 3; i++)
        if (asked & 1 << i)
            list = apr_pstrcat(p, list, *list ? "," : "", names[i], NULL);
    rcpt->notify = list;
    return APR_SUCCESS;
}

/*   original-recipient-address = addr-type ";" xtext; addr-type is an atom */
static apr_status_t read_orcpt(mg_dsn_rcpt_t *rcpt, const char *value,
                               apr_size_t len, apr_pool_t *p)
{
    const char *semicolon = memchr(value, ';', len);
    apr_size_t type_len, i;

    if (rcpt->orcpt != NULL || semicolon == NULL || len > MG_DSN_ORCPT_MAX)
        return MG_EBADINPUT;
    type_len = (apr_size_t)(semicolon - value);
    for (i = 0; i < type_len; i++) {
        char c = value[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
              || (c >= '0' && c <= '9') || c == '-'))
            return MG_EBADINPUT;
    }
    if (type_len == 0 || type_len + 1 == len
        || !is_fine_xtext(semicolon + 1, len - type_len - 1,
                          is_name(value, type_len, "utf-8")))
        return MG_EBADINPUT;
    rcpt->orcpt = apr_pstrmemdup(p, value, len);
    return APR_SUCCESS;
}

apr_status_t mg_dsn_rcpt_param(mg_dsn_rcpt_t *rcpt, const char *name,
                               apr_size_t name_len, const char *value,
                               apr_size_t value_len, apr_pool_t *p)
{
    if (is_name(name, name_len, "NOTIFY"))
        return read_notify(rcpt, value, value_len, p);
    if (is_name(name, name_len, "ORCPT"))
        return read_orcpt(rcpt, value, value_len, p);
    return APR_ENOENT;
}

/* --- as the store has it --- */

char *mg_dsn_payload(const mg_dsn_rcpt_t *rcpt, apr_pool_t *p)
{
    json_t *json;
    char *text;

    if (rcpt->notify == NULL && rcpt->orcpt == NULL)
        return NULL;
    json = json_object();
    if (rcpt->notify != NULL)
        json_object_set_new(json, "notify", json_string(rcpt->notify));
    if (rcpt->orcpt != NULL)
        json_object_set_new(json, "orcpt", json_string(rcpt->orcpt));
    text = mg_json_compact(json, p);
    json_decref(json);
    return text;
}

void mg_dsn_payload_read(mg_dsn_rcpt_t *rcpt, const char *payload,
                         apr_pool_t *p)
{
    const json_t *json = NULL;
    const char *why;

    if (payload != NULL && *payload)
        json = mg_json_parse(payload, strlen(payload), &why, p);
    rcpt->notify = json_string_value(json_object_get(json, "notify"));
    rcpt->orcpt = json_string_value(json_object_get(json, "orcpt"));
}
