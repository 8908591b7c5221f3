/* ctl_dkim.c - mailgunctl domain rotate-dkim, domain verify: keys and what DNS
 * says of them. */
#include "ctl.h"
#include "mg_dkim_key.h"
#include "mg_dns_check.h"
#include "mg_status.h"
#include "mg_time.h"

#include <apr_strings.h>
#include <apr_time.h>
#include <stdio.h>

#define VERIFY_TIMEOUT apr_time_from_sec(40) /* c-ares gives up before */

static int waiting_keys(ctl_t *ctl, const mg_domain_t *domain, int *pn)
{
    apr_array_header_t *keys;
    apr_status_t rv = mg_domain_dkim(&keys, ctl->db, domain->id, ctl->pool);
    int i;

    *pn = 0;
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "keys of %s", domain->name);
    for (i = 0; i < keys->nelts; i++)
        *pn += APR_ARRAY_IDX(keys, i, mg_dkim_public_t).state
               == MG_DKIM_WAITS;
    return 0;
}

static int print_keys(ctl_t *ctl, const mg_domain_t *domain)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *keys;
    apr_status_t rv = mg_domain_dkim(&keys, ctl->db, domain->id, ctl->pool);
    int i;

    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "keys of %s", domain->name);
    ctl_table_row(table, "KEY", "TXT RECORD", "VALUE", NULL);
    for (i = 0; i < keys->nelts; i++) {
        const mg_dkim_public_t *key = &APR_ARRAY_IDX(keys, i,
                                                     mg_dkim_public_t);

        ctl_table_row(table, mg_dkim_state_name(key),
                      mg_dkim_name(key, domain->name, ctl->pool),
                      mg_dkim_record(key, ctl->pool), NULL);
    }
    ctl_table_print(table);
    return 0;
}

static int make_keys(ctl_t *ctl, const mg_domain_t *domain,
                     const mg_dkim_t *dkim, const mg_secret_t *secret)
{
    apr_status_t rv = mg_dkim_rotate(ctl->db, secret, domain->id, dkim,
                                     ctl->pool);

    if (rv == APR_EEXIST)
        return ctl_error(ctl, "%s has new keys already, which wait for their "
                         "DNS records; --now switches to them", domain->name);
    return rv == APR_SUCCESS ? 0
                             : ctl_failed(ctl, rv, "keys of %s", domain->name);
}

/* Without --now: new keys, which wait. With it: the keys that wait, or new
 * ones, sign at once. */
int ctl_domain_rotate_dkim(ctl_t *ctl)
{
    int now = ctl_option(ctl, "now") != NULL, waiting = 0, n = 0, code;
    mg_domain_t *domain;
    mg_secret_t *secret;
    mg_dkim_t *dkim;
    apr_status_t rv;

    if ((code = ctl_secret(&secret, ctl)) != 0)
        return code;
    rv = mg_dkim_make(&dkim, ctl->pool); /* slow: before the transaction */
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "the DKIM keys cannot be made");
    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0
        || (code = waiting_keys(ctl, domain, &waiting)) != 0)
        return code;
    if ((!now || waiting == 0)
        && (code = make_keys(ctl, domain, dkim, secret)) != 0)
        return code;
    if (now) {
        rv = mg_dkim_switch(&n, ctl->db, domain->id, NULL, ctl->pool);
        if (rv != APR_SUCCESS)
            return ctl_failed(ctl, rv, "keys of %s", domain->name);
    }
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_KEEPER);
    if (now)
        printf("%s signs with its new keys. Leave the records of the retired "
               "ones in DNS for a week:\nmail that they signed is on its "
               "way.\n\n", domain->name);
    else
        printf("Publish the records of the keys that wait. Each begins to sign "
               "when its record is\nseen (mailgunctl domain verify %s), and "
               "the one before it is retired.\n\n", domain->name);
    return print_keys(ctl, domain);
}

/* Asks the keeper, and waits until it has looked. */
int ctl_domain_verify(ctl_t *ctl)
{
    apr_time_t before = 0, checked = 0, until;
    mg_domain_t *domain;
    apr_status_t rv;
    int code;

    if ((code = ctl_begin(ctl)) != 0
        || (code = ctl_domain(&domain, ctl, ctl->argv[0])) != 0)
        return code;
    rv = mg_dns_checked(&before, ctl->db, domain->id);
    if (rv == APR_SUCCESS)
        rv = mg_dns_ask(ctl->db, domain->id);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", domain->name);
    if ((code = ctl_commit(ctl)) != 0)
        return code;
    mg_bell_ring(ctl->config->run_dir, MG_ROLE_KEEPER);
    until = mg_ticks() + VERIFY_TIMEOUT;
    do {
        apr_sleep(apr_time_from_msec(50));
        rv = mg_dns_checked(&checked, ctl->db, domain->id);
    } while (rv == APR_SUCCESS && checked == before && mg_ticks() < until);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "domain %s", domain->name);
    if (checked == before)
        return ctl_error(ctl, "the keeper has not looked: is mailgun-smtpd "
                         "running?");
    return ctl_domain_print_records(ctl, domain);
}
