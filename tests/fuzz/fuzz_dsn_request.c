/* fuzz_dsn_request.c - parameters of MAIL and RCPT: what is taken has the form
 * of RFC 3461, survives the store, and decodes to one line. */
#include "fuzz.h"
#include "../../smtpd/smtp_params.c"
#include "mg_dsn_request.h"

static void must_be_one_line(const char *xtext, apr_pool_t *p)
{
    char *text;

    FUZZ_MUST(mg_xtext_decode(&text, xtext, strlen(xtext), p) == 0);
    FUZZ_MUST(strpbrk(text, "\r\n") == NULL);
    FUZZ_MUST(strlen(text) <= strlen(xtext));
}

FUZZ(text, len, p)
{
    mg_dsn_mail_t mail = { NULL, NULL };
    mg_dsn_rcpt_t rcpt = { NULL, NULL }, back;
    const char *rest = text;
    smtp_param_t param;

    (void)len;
    while (smtp_param_next(&param, &rest)) {
        char *name = fuzz_exact(param.name, param.name_len);
        char *value = fuzz_exact(param.value, param.value_len);

        mg_dsn_mail_param(&mail, name, param.name_len, value,
                          param.value_len, p);
        mg_dsn_rcpt_param(&rcpt, name, param.name_len, value,
                          param.value_len, p);
        free(name);
        free(value);
    }
    if (mail.envid)
        must_be_one_line(mail.envid, p);
    if (rcpt.orcpt) {
        FUZZ_MUST(strchr(rcpt.orcpt, ';') != NULL);
        must_be_one_line(strchr(rcpt.orcpt, ';') + 1, p);
    }
    mg_dsn_payload_read(&back, mg_dsn_payload(&rcpt, p), p);
    FUZZ_MUST((back.notify == NULL) == (rcpt.notify == NULL));
    FUZZ_MUST(!rcpt.notify || strcmp(back.notify, rcpt.notify) == 0);
}
