/* mailgunctl.c - the operator's command: the table of commands, and main.
 *
 *     mailgunctl [-c FILE] NOUN [VERB] ARGUMENT ... [--option VALUE]
 */
#include "ctl.h"
#include "mg_id.h"
#include "mg_log.h"
#include "mg_migrate.h"
#include "mg_version.h"

#include <apr_general.h>
#include <apr_strings.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_CONF "/etc/mailgun/mailgun.conf"

static int version(ctl_t *ctl)
{
    (void)ctl;
    printf("mailgunctl %s, schema %d\n", MG_VERSION, MG_SCHEMA_VERSION);
    return 0;
}

#define QUEUE_WHICH                                                           \
    "[--domain DOMAIN] [--destination DOMAIN|HOST:PORT]"                      \
    " [--transport smtp|lmtp|http|hook] [--message ID|MESSAGE-ID]"
#define QUEUE_OPTIONS "domain destination transport message"

static const ctl_command_t commands[] = {
    /* noun, verb, arguments, options, how many, function, help */
    { "init", NULL, "", "", 0, 0, ctl_init,
      "make or bring up to date: directories, secrets, store" },
    { "account", "add", "NAME", "", 1, 1, ctl_account_add, "add an account" },
    { "account", "set", "NAME state=active|disabled campaigns=N|none", "", 2, -1,
      ctl_account_set, "change an account" },
    { "account", "list", "", "", 0, 0, ctl_account_list, "list all accounts" },
    { "account", "usage", "NAME [--days N]", "days", 1, 1, ctl_account_usage,
      "what an account used, day by day" },
    { "key", "add", "ACCOUNT", "", 1, 1, ctl_key_add,
      "make an API key; it is shown this once" },
    { "key", "revoke", "ACCOUNT KEY|LAST4", "", 2, 2, ctl_key_revoke,
      "make an API key useless" },
    { "key", "list", "ACCOUNT", "", 1, 1, ctl_key_list,
      "list an account's keys by their last four characters" },
    { "domain", "add", "DOMAIN --account NAME [--password PASSWORD|-]",
      "account password", 1, 1, ctl_domain_add,
      "add a domain, its DKIM key and postmaster@DOMAIN" },
    { "domain", "list", "[--account NAME]", "account", 0, 0, ctl_domain_list,
      "list domains" },
    { "domain", "show", "DOMAIN [--zone]", "zone!", 1, 1, ctl_domain_show,
      "a domain's settings and the DNS records to publish" },
    { "domain", "verify", "DOMAIN", "", 1, 1, ctl_domain_verify,
      "look at a domain's DNS records now" },
    { "domain", "rotate-dkim", "DOMAIN [--now]", "now!", 1, 1,
      ctl_domain_rotate_dkim, "new DKIM keys for a domain; they sign when their"
      " records are seen, or now" },
    { "domain", "set", "DOMAIN NAME=VALUE ...", "", 2, -1, ctl_domain_set,
      "change settings of a domain" },
    { "domain", "remove", "DOMAIN", "", 1, 1, ctl_domain_remove,
      "remove a domain, its mailboxes and what is queued for it" },
    { "mailbox", "add", "ADDRESS [PASSWORD|-] [--quota SIZE]", "quota", 1, 2,
      ctl_mailbox_add, "add a mailbox" },
    { "mailbox", "list", "DOMAIN", "", 1, 1, ctl_mailbox_list,
      "list a domain's mailboxes" },
    { "mailbox", "set", "ADDRESS quota=SIZE|default password=PASSWORD|-", "",
      2, -1, ctl_mailbox_set, "change a mailbox" },
    { "mailbox", "remove", "ADDRESS", "", 1, 1, ctl_mailbox_remove,
      "remove a mailbox and its mail" },
    { "credential", "add", "LOGIN@DOMAIN [PASSWORD|-]", "", 1, 2,
      ctl_credential_add, "add a login that can send and has no mailbox" },
    { "credential", "list", "DOMAIN", "", 1, 1, ctl_credential_list,
      "list a domain's credentials" },
    { "credential", "password", "LOGIN@DOMAIN [PASSWORD|-]", "", 1, 2,
      ctl_credential_password, "give a credential another password" },
    { "credential", "remove", "LOGIN@DOMAIN", "", 1, 1, ctl_credential_remove,
      "remove a credential" },
    { "route", "add", "ACCOUNT --expression E --action A ... [--priority N]"
      " [--description TEXT]", "expression action priority description", 1, 1,
      ctl_route_add, "add a route for incoming mail" },
    { "route", "set", "ACCOUNT ID [--expression E] [--action A ...]"
      " [--priority N] [--description TEXT]",
      "expression action priority description", 2, 2, ctl_route_set,
      "change a route; actions replace all that there were" },
    { "route", "list", "ACCOUNT", "", 1, 1, ctl_route_list,
      "list an account's routes" },
    { "route", "test", "ACCOUNT RECIPIENT [FILE|-]", "", 2, 3, ctl_route_test,
      "which routes a message would match, and why; nothing is done" },
    { "route", "remove", "ACCOUNT ID", "", 2, 2, ctl_route_remove,
      "remove a route" },
    { "list", "add", "ADDRESS [--name N] [--description TEXT]"
      " [--access readonly|members|everyone] [--reply list|sender]",
      "name description access reply", 1, 1, ctl_list_add,
      "add a mailing list" },
    { "list", "set", "ADDRESS, options as add",
      "name description access reply", 1, 1, ctl_list_set,
      "change a mailing list" },
    { "list", "list", "ACCOUNT", "", 1, 1, ctl_list_list,
      "list an account's mailing lists" },
    { "list", "members", "ADDRESS", "", 1, 1, ctl_list_members,
      "list a mailing list's members" },
    { "list", "import", "ADDRESS FILE|-", "", 2, 2, ctl_list_import,
      "put the members of a CSV file into it; who is there is changed" },
    { "list", "remove", "ADDRESS", "", 1, 1, ctl_list_remove,
      "remove a mailing list" },
    { "campaign", "add", "DOMAIN NAME [--id ID]", "id", 2, 2,
      ctl_campaign_add, "add a campaign; messages join it by its id" },
    { "campaign", "list", "DOMAIN", "", 1, 1, ctl_campaign_list,
      "list a domain's campaigns" },
    { "campaign", "show", "DOMAIN ID", "", 2, 2, ctl_campaign_show,
      "show what a campaign counted" },
    { "campaign", "remove", "DOMAIN ID", "", 2, 2, ctl_campaign_remove,
      "remove a campaign" },
    { "queue", "list", QUEUE_WHICH " [--limit N]", QUEUE_OPTIONS " limit", 0,
      0, ctl_queue_list, "deliveries that are not settled yet" },
    { "queue", "count", "[--by domain|destination|transport|age] [--limit N]",
      "by limit", 0, 0, ctl_queue_count, "how many there are" },
    { "queue", "show", "ID|MESSAGE-ID", "", 1, 1, ctl_queue_show,
      "one message: its recipients and what happened" },
    { "queue", "destinations", "[--limit N]", "limit", 0, 0,
      ctl_queue_destinations,
      "where mail goes: connections, rate, closed until, and why" },
    { "queue", "hold", QUEUE_WHICH " | --all [--dry-run]",
      QUEUE_OPTIONS " all! dry-run!", 0, 0, ctl_queue_hold,
      "keep deliveries back until they are released" },
    { "queue", "release", QUEUE_WHICH " | --all [--dry-run]",
      QUEUE_OPTIONS " all! dry-run!", 0, 0, ctl_queue_release,
      "let held deliveries go" },
    { "queue", "retry", QUEUE_WHICH " | --all [--dry-run]",
      QUEUE_OPTIONS " all! dry-run!", 0, 0, ctl_queue_retry,
      "try now what is put off" },
    { "queue", "drop", QUEUE_WHICH " | --all [--dry-run]",
      QUEUE_OPTIONS " all! dry-run!", 0, 0, ctl_queue_drop,
      "give deliveries up" },
    { "suppression", "list", "DOMAIN [bounce|unsubscribe|complaint]"
      " [--address ADDRESS] [--limit N]", "address limit", 1, 2,
      ctl_suppression_list, "addresses the domain sends nothing any more" },
    { "suppression", "add", "DOMAIN bounce|unsubscribe|complaint ADDRESS"
      " [--tag TAG] [--code CODE] [--error TEXT]", "tag code error", 3, 3,
      ctl_suppression_add, "send an address nothing any more" },
    { "suppression", "remove", "DOMAIN bounce|unsubscribe|complaint ADDRESS"
      " [--tag TAG]", "tag", 3, 3, ctl_suppression_remove,
      "let mail to an address flow again" },
    { "tracking", "rotate", "[--forget N]", "forget", 0, 0,
      ctl_tracking_rotate, "sign links with a new secret; old links stay good,"
      " but those of the N oldest secrets" },
    { "webhooks", "failed", "[DOMAIN] [--limit N]", "limit", 0, 1,
      ctl_webhooks_failed, "webhooks that were given up, newest first" },
    { "webhooks", "replay", "ID|DOMAIN", "", 1, 1, ctl_webhooks_replay,
      "post one that was given up again, or all of a domain" },
    { "fsck", NULL, "", "", 0, 0, ctl_fsck,
      "count and cross-check the store; exit 1 if something is wrong" },
    { "config", "check", "", "", 0, 0, ctl_config_check,
      "read mailgun.conf and say what is wrong with it" },
    { "config", NULL, "", "", 0, 0, ctl_config_print,
      "all directives of mailgun.conf" },
    { "version", NULL, "", "", 0, 0, version, "what this is" },
};
#define COMMANDS ((int)(sizeof(commands) / sizeof(commands[0])))

/* "routes" is "route". */
static int is_noun(const char *noun, const char *given)
{
    apr_size_t n = strlen(noun);

    return strncmp(noun, given, n) == 0
           && (!given[n] || strcmp(given + n, "s") == 0);
}

/* Help on all commands, or those of one noun. */
static void print_help(FILE *out, const char *noun)
{
    int i;

    fprintf(out, "usage: mailgunctl [-c %s] COMMAND\n\n", DEFAULT_CONF);
    for (i = 0; i < COMMANDS; i++) {
        const ctl_command_t *c = &commands[i];
        if (noun && !is_noun(c->noun, noun))
            continue;
        fprintf(out, "  %s%s%s%s%s\n        %s\n", c->noun,
                c->verb ? " " : "", c->verb ? c->verb : "",
                *c->args ? " " : "", c->args, c->help);
    }
    if (!noun)
        fprintf(out, "\nEverybody on this machine can see the arguments of a "
                "command: write - for a\npassword to have it read from "
                "standard input.\n");
}

static int wrong_command(const char *noun, const char *verb)
{
    int i;

    for (i = 0; i < COMMANDS; i++) {
        if (is_noun(commands[i].noun, noun)) {
            fprintf(stderr, "mailgunctl: '%s%s%s' is no command\n", noun,
                    verb ? " " : "", verb ? verb : "");
            print_help(stderr, noun);
            return 2;
        }
    }
    fprintf(stderr, "mailgunctl: '%s' is no command; mailgunctl help lists "
            "all\n", noun);
    return 2;
}

static const ctl_command_t *find_command(const char *noun, const char *verb)
{
    int i;

    for (i = 0; i < COMMANDS; i++) {
        const ctl_command_t *c = &commands[i];
        if (is_noun(c->noun, noun)
            && (!c->verb || (verb && strcmp(c->verb, verb) == 0)))
            return c;
    }
    return NULL;
}

/* 1: with a value; 2: alone ("zone!"); 0: not at all */
static int takes_option(const ctl_command_t *command, const char *name)
{
    apr_size_t len = strlen(name);
    const char *at = command->options;

    while (len && (at = strstr(at, name)) != NULL) {
        if ((at == command->options || at[-1] == ' ')
            && (at[len] == ' ' || at[len] == '!' || !at[len]))
            return at[len] == '!' ? 2 : 1;
        at += len;
    }
    return 0;
}

/* Positional arguments apart from --name value and --name=value. */
static int sort_arguments(ctl_t *ctl, int argc, const char *const *argv)
{
    apr_array_header_t *rest = apr_array_make(ctl->pool, argc + 1,
                                              sizeof(const char *));
    int i, takes, only_positional = 0;

    for (i = 0; i < argc; i++) {
        const char *name, *equals;

        if (only_positional || strncmp(argv[i], "--", 2) != 0) {
            APR_ARRAY_PUSH(rest, const char *) = argv[i];
            continue;
        }
        if (!argv[i][2]) {
            only_positional = 1;
            continue;
        }
        equals = strchr(argv[i], '=');
        name = equals ? apr_pstrmemdup(ctl->pool, argv[i] + 2,
                                       (apr_size_t)(equals - argv[i] - 2))
                      : argv[i] + 2;
        takes = takes_option(ctl->command, name);
        if (!takes)
            return ctl_usage(ctl, "there is no option --%s here", name);
        if (takes == 2) {
            if (equals)
                return ctl_usage(ctl, "--%s takes no value", name);
            apr_table_addn(ctl->options, name, "");
            continue;
        }
        if (!equals && ++i == argc)
            return ctl_usage(ctl, "--%s needs a value", name);
        apr_table_addn(ctl->options, name, equals ? equals + 1 : argv[i]);
    }
    ctl->argc = rest->nelts;
    ctl->argv = (const char *const *)rest->elts;
    if (ctl->argc < ctl->command->min)
        return ctl_usage(ctl, "something is missing");
    if (ctl->command->max >= 0 && ctl->argc > ctl->command->max)
        return ctl_usage(ctl, "'%s' is too much",
                         ctl->argv[ctl->command->max]);
    return 0;
}

static int run(apr_pool_t *pool, int argc, const char *const *argv)
{
    ctl_t *ctl = apr_pcalloc(pool, sizeof(*ctl));
    const char *verb;
    int code, used;

    ctl->pool = pool;
    ctl->conf_path = DEFAULT_CONF;
    ctl->options = apr_table_make(pool, 4);
    if (argc > 1 && strcmp(argv[0], "-c") == 0) {
        ctl->conf_path = argv[1];
        argc -= 2;
        argv += 2;
    }
    if (argc == 0) {
        print_help(stderr, NULL);
        return 2;
    }
    if (strcmp(argv[0], "help") == 0 || strcmp(argv[0], "--help") == 0
        || strcmp(argv[0], "-h") == 0) {
        print_help(stdout, argc > 1 ? argv[1] : NULL);
        return 0;
    }
    verb = argc > 1 ? argv[1] : NULL;
    ctl->command = find_command(argv[0], verb);
    if (!ctl->command)
        return wrong_command(argv[0], verb);
    used = ctl->command->verb ? 2 : 1;
    code = sort_arguments(ctl, argc - used, argv + used);
    return code ? code : ctl->command->run(ctl);
}

int main(int argc, const char *const *argv)
{
    apr_pool_t *pool;
    int code;

    if (apr_initialize() != APR_SUCCESS
        || apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return 1;
    mg_log_to_stderr("mailgunctl");
    mg_log_set_level(MG_LOG_WARN);
    mg_id_init();
    code = run(pool, argc - 1, argv + 1);
    if (fflush(stdout) != 0 && code == 0)
        code = 1;
    apr_pool_destroy(pool);
    apr_terminate();
    return code;
}
