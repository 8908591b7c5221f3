/* ctl.c - steps, errors and arguments that the commands share. */
#include "ctl.h"
#include "mg_id.h"
#include "mg_message.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

/* errors */

static void say(ctl_t *ctl, const char *text)
{
    fflush(stdout);
    fprintf(stderr, "mailgunctl: %s\n", text);
    if (ctl->db && mg_tx_is_open(ctl->db))
        mg_tx_rollback(ctl->db);
}

int ctl_error(ctl_t *ctl, const char *fmt, ...)
{
    va_list args;
    char *text;

    va_start(args, fmt);
    text = apr_pvsprintf(ctl->pool, fmt, args);
    va_end(args);
    say(ctl, text);
    return 1;
}

static int is_of_store(apr_status_t rv)
{
    return rv >= MG_EBUSY && rv <= MG_ESQL;
}

int ctl_failed(ctl_t *ctl, apr_status_t rv, const char *fmt, ...)
{
    char *text, words[200];
    const char *why = NULL;
    va_list args;

    va_start(args, fmt);
    text = apr_pvsprintf(ctl->pool, fmt, args);
    va_end(args);
    if (ctl->db && is_of_store(rv))
        why = mg_db_error(ctl->db);
    if (!why || !*why)
        why = mg_strerror(rv, words, sizeof(words));
    say(ctl, apr_pstrcat(ctl->pool, text, ": ", why, NULL));
    return 1;
}

int ctl_usage(ctl_t *ctl, const char *fmt, ...)
{
    const ctl_command_t *c = ctl->command;
    va_list args;

    va_start(args, fmt);
    say(ctl, apr_pvsprintf(ctl->pool, fmt, args));
    va_end(args);
    fprintf(stderr, "usage: mailgunctl %s%s%s%s%s\n", c->noun,
            c->verb ? " " : "", c->verb ? c->verb : "", *c->args ? " " : "",
            c->args);
    return 2;
}

/* steps */

int ctl_config(ctl_t *ctl)
{
    const char *error;

    if (ctl->config)
        return 0;
    if (mg_config_read(&ctl->config, ctl->conf_path, &error, ctl->pool)
        != APR_SUCCESS)
        return ctl_error(ctl, "%s", error);
    return 0;
}

int ctl_open(ctl_t *ctl)
{
    apr_status_t rv;
    int code;

    if ((code = ctl_config(ctl)) != 0)
        return code;
    rv = mg_db_open(&ctl->db, ctl->config->store,
                    ctl->config->relaxed ? MG_DB_RELAXED : 0, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "%s", ctl_store_name(ctl));
    mg_message_set_run_dir(ctl->config->run_dir);
    return 0;
}

int ctl_begin(ctl_t *ctl)
{
    apr_status_t rv;
    int code;

    if (!ctl->db && (code = ctl_open(ctl)) != 0)
        return code;
    rv = mg_tx_begin(ctl->db, MG_TX_WRITE);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "%s",
                                              ctl_store_name(ctl));
}

int ctl_commit(ctl_t *ctl)
{
    apr_status_t rv = APR_SUCCESS;

    if (mg_tx_is_open(ctl->db))
        rv = mg_tx_commit(ctl->db);
    if (rv == MG_ELOST)
        return ctl_failed(ctl, rv, "whether this was done is not known, look "
                          "before you repeat it");
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "nothing was changed");
    mg_shared_bump(mg_shared_attach(ctl->config->run_dir, ctl->pool));
    return 0;
}

int ctl_secret(mg_secret_t **psecret, ctl_t *ctl)
{
    apr_status_t rv;
    int code;

    if ((code = ctl_config(ctl)) != 0)
        return code;
    rv = mg_secret_load(psecret, ctl->config->secret_file, ctl->pool);
    if (APR_STATUS_IS_ENOENT(rv))
        return ctl_error(ctl, "%s does not exist: run mailgunctl init",
                         ctl->config->secret_file);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "%s", ctl->config->secret_file);
    return 0;
}

/* arguments */

const char *ctl_option(ctl_t *ctl, const char *name)
{
    return apr_table_get(ctl->options, name);
}

int ctl_option_number(apr_int64_t *pn, ctl_t *ctl, const char *name,
                      apr_int64_t fallback, apr_int64_t min, apr_int64_t max)
{
    const char *text = ctl_option(ctl, name);
    char *end;

    *pn = fallback;
    if (!text)
        return 0;
    *pn = apr_strtoi64(text, &end, 10);
    if (end == text || *end || *pn < min || *pn > max)
        return ctl_usage(ctl, "--%s: '%s' is no number from %" APR_INT64_T_FMT
                         " to %" APR_INT64_T_FMT, name, text, min, max);
    return 0;
}

int ctl_assignment(const char **pname, const char **pvalue, ctl_t *ctl,
                   const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return ctl_usage(ctl, "'%s' is not of the form name=value", text);
    *pname = apr_pstrmemdup(ctl->pool, text, (apr_size_t)(equals - text));
    *pvalue = equals + 1;
    return 0;
}

static int read_password(const char **ppassword, ctl_t *ctl)
{
    char line[256];
    apr_size_t len;

    if (!fgets(line, sizeof(line), stdin))
        return ctl_error(ctl, "no password on standard input");
    len = strcspn(line, "\r\n");
    *ppassword = apr_pstrmemdup(ctl->pool, line, len);
    return 0;
}

int ctl_password(const char **ppassword, const char **phash, int *pmade,
                 ctl_t *ctl, const char *given)
{
    const char *problem;
    int code;

    *pmade = !given;
    *ppassword = given ? given : mg_id_random(20, ctl->pool);
    if (given && strcmp(given, "-") == 0
        && (code = read_password(ppassword, ctl)) != 0)
        return code;
    problem = mg_password_problem(*ppassword);
    if (problem)
        return ctl_error(ctl, "%s", problem);
    *phash = mg_password_hash(*ppassword, ctl->pool);
    return *phash ? 0 : ctl_error(ctl, "the password cannot be hashed");
}

int ctl_account(mg_account_t **paccount, ctl_t *ctl, const char *name)
{
    apr_status_t rv = mg_account_by_name(paccount, ctl->db, name, ctl->pool);

    if (rv == APR_ENOENT)
        return ctl_error(ctl, "there is no account '%s'", name);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "account %s", name);
}

int ctl_domain(mg_domain_t **pdomain, ctl_t *ctl, const char *name)
{
    apr_status_t rv = mg_domain_by_name(pdomain, ctl->db, name, ctl->pool);

    if (rv == APR_ENOENT)
        return ctl_error(ctl, "there is no domain '%s'", name);
    return rv == APR_SUCCESS ? 0 : ctl_failed(ctl, rv, "domain %s", name);
}

int ctl_domain_of(mg_domain_t **pdomain, ctl_t *ctl, const char *address)
{
    const char *at = strrchr(address, '@');

    if (!at || at == address || !at[1])
        return ctl_error(ctl, "'%s' is no address; try bob@example.com",
                         address);
    return ctl_domain(pdomain, ctl, at + 1);
}
