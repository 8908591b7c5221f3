/* mg_domain_setting.c - everything a customer can set per domain: one line of
 * the table each. */
#include <string.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mg_domain.h"
#include "mg_domain_private.h"
#include "mg_queue.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_tx.h"

#define URL_MAX 2048
#define FOOTER_MAX 8192

static const char *one_of(const char **pvalue, const char *const *words,
                          apr_pool_t *p)
{
    const char *all = NULL;
    int i;

    for (i = 0; words[i]; i++) {
        if (!strcasecmp(*pvalue, words[i])) {
            *pvalue = words[i];
            return NULL;
        }
        all = all ? apr_pstrcat(p, all, ", ", words[i], NULL) : words[i];
    }
    return apr_psprintf(p, "'%s' is none of %s", *pvalue, all);
}

static const char *check_spam_action(const char **pvalue, apr_pool_t *p)
{
    static const char *const words[] = { "disabled", "tag", "block", NULL };

    return one_of(pvalue, words, p);
}

static const char *check_local(const char **pvalue, apr_pool_t *p)
{
    static const char *const words[] = { "auto", "yes", "no", NULL };

    return one_of(pvalue, words, p);
}

static const char *check_restrict(const char **pvalue, apr_pool_t *p)
{
    static const char *const words[] = { "default", "yes", "no", NULL };

    return one_of(pvalue, words, p);
}

static const char *check_bool(const char **pvalue, apr_pool_t *p)
{
    int value = mg_text_bool(*pvalue);

    if (value < 0)
        return apr_psprintf(p, "'%s' is neither yes nor no", *pvalue);
    *pvalue = value ? "true" : "false";
    return NULL;
}

static const char *check_size(const char **pvalue, apr_pool_t *p)
{
    apr_int64_t bytes;

    if (mg_text_size(&bytes, *pvalue) != APR_SUCCESS || bytes < 0)
        return apr_psprintf(p, "'%s' is no size; try 26214400 or 25M, or 0"
                            " for no limit", *pvalue);
    *pvalue = apr_psprintf(p, "%" APR_INT64_T_FMT, bytes);
    return NULL;
}

static const char *check_url(const char **pvalue, apr_pool_t *p)
{
    const char *c;

    if (!**pvalue)
        return NULL; /* removed */
    for (c = *pvalue; *c; c++)
        if ((unsigned char)*c <= 0x20 || *c == 0x7F)
            break;
    if (*c || c - *pvalue > URL_MAX || !mg_queue_url_dest(*pvalue, p))
        return apr_psprintf(p, "'%s' is no URL; try https://example.com/hook",
                            *pvalue);
    return NULL;
}

static const char *check_name(const char **pvalue, apr_pool_t *p)
{
    const char *c;

    for (c = *pvalue; *c; c++)
        if (!apr_isalnum(*c) && *c != '-' && *c != '_' && *c != '.')
            return apr_psprintf(p, "'%s' is no name that the configuration"
                                " could give", *pvalue);
    return NULL;
}

static const char *check_clicks(const char **pvalue, apr_pool_t *p)
{
    static const char *const words[] = { "no", "yes", "htmlonly", NULL };
    int value = mg_text_bool(*pvalue);

    if (value >= 0)
        *pvalue = value ? "yes" : "no";
    return one_of(pvalue, words, p);
}

static const char *check_footer(const char **pvalue, apr_pool_t *p)
{
    if (strlen(*pvalue) > FOOTER_MAX)
        return apr_psprintf(p, "a footer has at most %d octets", FOOTER_MAX);
    return NULL;
}

/* Sorted by name. */
static const mg_domain_setting_t settings[] = {
    { "dkim", "true",
      "whether outgoing mail is signed where a message does not say so itself",
      check_bool },
    { "local", "auto",
      "whether our own mail for this domain stays here: auto: where its MX is"
      " ours or unknown and a mailbox or route wants it; yes: always; no: always"
      " by its MX",
      check_local },
    { "quota_bytes", "0",
      "how much all mailboxes of the domain may hold; 0: no limit",
      check_size },
    { "require_tls", "false",
      "whether mail of the domain goes out under TLS with a verified"
      " certificate only", check_bool },
    { "restrict_from", "default",
      "whether From must be an address of this domain: yes, no, or as"
      " MailgunRestrictFrom says",
      check_restrict },
    { "sending_ip", "", "the address (MailgunSendingIP) that its mail comes"
      " from; empty: one of its pool", check_name },
    { "sending_pool", "", "the addresses (MailgunSendingPool) that its mail"
      " comes from; empty: the pool default", check_name },
    { "skip_verification", "false",
      "whether any certificate will do where mail goes out under TLS",
      check_bool },
    { "spam_action", "disabled",
      "what happens to incoming spam: disabled, tag, block",
      check_spam_action },
    { "track_clicks", "no",
      "whether links lead by the tracking host where a message does not say so"
      " itself: no, yes, htmlonly", check_clicks },
    { "track_opens", "false",
      "whether html gets a pixel where a message does not say so itself",
      check_bool },
    { "unsubscribe", "false",
      "whether mail gets footers with a link to unsubscribe, and"
      " List-Unsubscribe", check_bool },
    { "unsubscribe_html", "default",
      "the footer of html; empty: none; default: the usual one", check_footer },
    { "unsubscribe_text", "default",
      "the footer of text; empty: none; default: the usual one", check_footer },
    { "webhook.bounce", "",
      "URL that is told of each bounce; empty: none", check_url },
    { "webhook.click", "",
      "URL that is told of each click on a link; empty: none", check_url },
    { "webhook.deliver", "",
      "URL that is told of each delivered message; empty: none", check_url },
    { "webhook.drop", "",
      "URL that is told of each recipient that is given up; empty: none",
      check_url },
    { "webhook.open", "",
      "URL that is told of each opened message; empty: none", check_url },
    { "webhook.spam", "",
      "URL that is told of each complaint; empty: none", check_url },
    { "webhook.unsubscribe", "",
      "URL that is told of each unsubscribed recipient; empty: none",
      check_url },
    { "wildcard", "false", "whether sub-domains are taken too", check_bool },
};
enum { NSETTINGS = sizeof(settings) / sizeof(settings[0]) };

const mg_domain_setting_t *mg_domain_settings(int *pn)
{
    *pn = NSETTINGS;
    return settings;
}

static const mg_domain_setting_t *find(const char *name)
{
    int i;

    for (i = 0; i < NSETTINGS; i++)
        if (!strcmp(settings[i].name, name))
            return &settings[i];
    return NULL;
}

const char *mg_domain_setting_check(const char *name, const char **pvalue,
                                    apr_pool_t *p)
{
    const mg_domain_setting_t *setting = find(name);

    return setting && setting->check ? setting->check(pvalue, p) : NULL;
}

static const char *all_names(apr_pool_t *p)
{
    const char *all = settings[0].name;
    int i;

    for (i = 1; i < NSETTINGS; i++)
        all = apr_pstrcat(p, all, ", ", settings[i].name, NULL);
    return all;
}

const char *mg_domain_setting(const mg_domain_t *domain, const char *name)
{
    return apr_table_get(domain->settings, name);
}

int mg_domain_restricts_from(const mg_domain_t *domain, int unsaid)
{
    const char *said = mg_domain_setting(domain, "restrict_from");

    return strcmp(said, "default") == 0 ? unsaid : strcmp(said, "yes") == 0;
}

apr_status_t mg_domain_load_settings(mg_domain_t *domain, mg_db_t *db,
                                     apr_pool_t *p)
{
    mg_stmt_t *stmt;
    apr_status_t rv;
    int i;

    domain->settings = apr_table_make(p, NSETTINGS);
    for (i = 0; i < NSETTINGS; i++)
        apr_table_setn(domain->settings, settings[i].name,
                       settings[i].default_value);
    rv = mg_db_query(&stmt, db,
                     "SELECT name, value FROM setting"
                     " WHERE scope = 'domain' AND scope_id = $1",
                     "i", domain->id);
    while (rv == APR_SUCCESS && (rv = mg_stmt_next(stmt)) == APR_SUCCESS)
        apr_table_setn(domain->settings, mg_stmt_text(stmt, 0, p),
                       mg_stmt_text(stmt, 1, p));
    return rv == APR_EOF ? APR_SUCCESS : rv;
}

static apr_status_t write_setting(mg_db_t *db, apr_int64_t domain_id,
                                  const mg_domain_setting_t *setting,
                                  const char *value)
{
    apr_status_t rv;

    if (!strcmp(value, setting->default_value))
        rv = mg_db_exec(db, NULL,
                        "DELETE FROM setting WHERE scope = 'domain'"
                        " AND scope_id = $1 AND name = $2",
                        "it", domain_id, setting->name);
    else
        rv = mg_db_exec(db, NULL,
                        "INSERT INTO setting (scope, scope_id, name, value)"
                        " VALUES ('domain', $1, $2, $3)"
                        " ON CONFLICT (scope, scope_id, name)"
                        " DO UPDATE SET value = excluded.value",
                        "itt", domain_id, setting->name, value);
    return rv;
}

apr_status_t mg_domain_set(mg_db_t *db, apr_int64_t domain_id,
                           const char *name, const char *value,
                           const char **perror, apr_pool_t *p)
{
    const mg_domain_setting_t *setting = find(name);
    apr_int64_t changed = 0;
    const char *error;
    apr_status_t rv;
    int own;

    *perror = NULL;
    if (!setting) {
        *perror = apr_psprintf(p, "'%s' is no setting of a domain; there are"
                               " %s", name, all_names(p));
        return MG_EBADINPUT;
    }
    value = mg_text_clean(value, strlen(value), p);
    error = setting->check ? setting->check(&value, p) : NULL;
    if (error) {
        *perror = apr_psprintf(p, "%s: %s", name, error);
        return MG_EBADINPUT;
    }
    rv = mg_tx_join(db, MG_TX_WRITE, &own);
    if (rv != APR_SUCCESS)
        return rv;
    rv = mg_db_exec(db, &changed, "UPDATE domain SET revision = revision + 1"
                    " WHERE id = $1", "i", domain_id);
    if (rv == APR_SUCCESS && changed == 0)
        rv = APR_ENOENT;
    if (rv == APR_SUCCESS)
        rv = write_setting(db, domain_id, setting, value);
    return mg_tx_leave(db, own, rv);
}
