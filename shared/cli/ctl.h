/* ctl.h - what the commands of mailgunctl stand on.
 *
 * A command is one line of the table in mailgunctl.c and one function here.
 * It answers with the exit code: 0 done, 1 an error (said on stderr, in
 * words), 2 wrong usage. A change is one write transaction: ctl_begin(), the
 * change, ctl_commit(), and only then a word on stdout.
 */
#ifndef CTL_H
#define CTL_H

#include <apr_tables.h>
#include "mg_account.h"
#include "mg_config.h"
#include "mg_db.h"
#include "mg_domain.h"
#include "mg_seal.h"
#include "mg_shared.h"

typedef struct ctl_t ctl_t;
typedef struct {
    const char *noun, *verb;  /* verb NULL: the noun alone */
    const char *args;         /* for the help; PASSWORD may be - for stdin */
    const char *options;      /* names it takes, "account password"; with a
                                 "!" those without a value: "zone!" */
    int min, max;             /* positional arguments; max -1: any number */
    int (*run)(ctl_t *ctl);
    const char *help;
} ctl_command_t;

struct ctl_t {
    apr_pool_t *pool;
    const char *conf_path;
    const ctl_command_t *command;
    int argc;                 /* positional arguments */
    const char *const *argv;
    apr_table_t *options;     /* by name without "--" */
    mg_config_t *config;      /* after ctl_config() */
    mg_db_t *db;              /* after ctl_open() */
};

/* --- steps; each 0 or the exit code, with the reason said --- */
int ctl_config(ctl_t *ctl);
int ctl_open(ctl_t *ctl);
int ctl_begin(ctl_t *ctl);
/** COMMIT; then every process's caches are told to be stale. */
int ctl_commit(ctl_t *ctl);
int ctl_secret(mg_secret_t **psecret, ctl_t *ctl);

/** Says "mailgunctl: ..." and rolls back. @return 1 */
int ctl_error(ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** The same with what the status, or the store, has to say. @return 1 */
int ctl_failed(ctl_t *ctl, apr_status_t rv, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/** Says how the command is used. @return 2 */
int ctl_usage(ctl_t *ctl, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* --- arguments --- */
const char *ctl_option(ctl_t *ctl, const char *name);
/** A whole number within min and max, or fallback if it is not given. */
int ctl_option_number(apr_int64_t *pn, ctl_t *ctl, const char *name,
                      apr_int64_t fallback, apr_int64_t min, apr_int64_t max);
/** "name=value" cut in two. */
int ctl_assignment(const char **pname, const char **pvalue, ctl_t *ctl,
                   const char *text);
/**
 * A new password: as given, read from stdin ("-"), or made (NULL; then
 * *pmade is 1 and the caller prints it). *phash is ready for the store.
 */
int ctl_password(const char **ppassword, const char **phash, int *pmade,
                 ctl_t *ctl, const char *given);
int ctl_account(mg_account_t **paccount, ctl_t *ctl, const char *name);
int ctl_domain(mg_domain_t **pdomain, ctl_t *ctl, const char *name);
/** The one an address is in. */
int ctl_domain_of(mg_domain_t **pdomain, ctl_t *ctl, const char *address);

/* --- output --- */
typedef struct ctl_table_t ctl_table_t;
ctl_table_t *ctl_table_make(ctl_t *ctl);
/** Cells, a NULL behind the last; the first row is the head. */
void ctl_table_row(ctl_table_t *table, ...) __attribute__((sentinel));
void ctl_table_print(const ctl_table_t *table);
/** "2011-10-13 18:02:00" UTC, or "-" for 0. */
char *ctl_time(ctl_t *ctl, apr_time_t t);
/** "25M", "1.5G", "812" */
char *ctl_size(ctl_t *ctl, apr_int64_t bytes);
char *ctl_number(ctl_t *ctl, apr_int64_t n);
/** The store without its password. */
const char *ctl_store_name(ctl_t *ctl);

/** The state of a domain and its DNS records, as last seen. */
int ctl_domain_print_records(ctl_t *ctl, const mg_domain_t *domain);

/* --- the commands, one file per noun --- */
int ctl_init(ctl_t *ctl);
int ctl_config_print(ctl_t *ctl);
int ctl_config_check(ctl_t *ctl);
int ctl_account_add(ctl_t *ctl);
int ctl_account_set(ctl_t *ctl);
int ctl_account_list(ctl_t *ctl);
int ctl_account_usage(ctl_t *ctl);
int ctl_key_add(ctl_t *ctl);
int ctl_key_revoke(ctl_t *ctl);
int ctl_key_list(ctl_t *ctl);
int ctl_domain_add(ctl_t *ctl);
int ctl_domain_list(ctl_t *ctl);
int ctl_domain_show(ctl_t *ctl);
int ctl_domain_set(ctl_t *ctl);
int ctl_domain_remove(ctl_t *ctl);
int ctl_domain_rotate_dkim(ctl_t *ctl);
int ctl_domain_verify(ctl_t *ctl);
int ctl_mailbox_add(ctl_t *ctl);
int ctl_mailbox_list(ctl_t *ctl);
int ctl_mailbox_set(ctl_t *ctl);
int ctl_mailbox_remove(ctl_t *ctl);
int ctl_credential_add(ctl_t *ctl);
int ctl_credential_list(ctl_t *ctl);
int ctl_credential_password(ctl_t *ctl);
int ctl_credential_remove(ctl_t *ctl);
int ctl_campaign_add(ctl_t *ctl);
int ctl_campaign_list(ctl_t *ctl);
int ctl_campaign_show(ctl_t *ctl);
int ctl_campaign_remove(ctl_t *ctl);
int ctl_route_add(ctl_t *ctl);
int ctl_route_set(ctl_t *ctl);
int ctl_route_list(ctl_t *ctl);
int ctl_route_remove(ctl_t *ctl);
int ctl_route_test(ctl_t *ctl);
int ctl_list_add(ctl_t *ctl);
int ctl_list_set(ctl_t *ctl);
int ctl_list_list(ctl_t *ctl);
int ctl_list_members(ctl_t *ctl);
int ctl_list_import(ctl_t *ctl);
int ctl_list_remove(ctl_t *ctl);
int ctl_queue_list(ctl_t *ctl);
int ctl_queue_count(ctl_t *ctl);
int ctl_queue_show(ctl_t *ctl);
int ctl_queue_destinations(ctl_t *ctl);
int ctl_queue_hold(ctl_t *ctl);
int ctl_queue_release(ctl_t *ctl);
int ctl_queue_retry(ctl_t *ctl);
int ctl_queue_drop(ctl_t *ctl);
int ctl_suppression_list(ctl_t *ctl);
int ctl_suppression_add(ctl_t *ctl);
int ctl_suppression_remove(ctl_t *ctl);
int ctl_tracking_rotate(ctl_t *ctl);
int ctl_webhooks_failed(ctl_t *ctl);
int ctl_webhooks_replay(ctl_t *ctl);
int ctl_fsck(ctl_t *ctl);

#endif
