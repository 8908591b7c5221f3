/* api_config.c - directives in httpd's configuration.
 *
 * Those of mailgun.conf come from the one table (mg_config.h): httpd includes
 * the file at its top level, one set of values for the process. MailgunAPI and
 * MailgunTracking are httpd's own: they say where the API answers, and where
 * tracking links do.
 */
#include "api.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

APLOG_USE_MODULE(mailgun);

#define COMMANDS_MAX 96

/* Filled before httpd asks for it; that is when the module is loaded. */
static command_rec commands[COMMANDS_MAX];
extern const command_rec api_commands[COMMANDS_MAX]
    __attribute__((alias("commands")));

static int wanted;  /* in the configuration that is read now */

static const char *set_shared(cmd_parms *cmd, void *dir, int argc,
                              char *const argv[])
{
    mg_config_t *config = ap_get_module_config(cmd->server->module_config,
                                               &mailgun_module);
    const char *error = ap_check_cmd_context(cmd, GLOBAL_ONLY);
    const mg_directive_t *directive = cmd->info;

    (void)dir;
    if (error)
        return error;
    return directive->set(config, directive, argc, (const char *const *)argv,
                          cmd->pool);
}

static const char *set_api(cmd_parms *cmd, void *dir, int on)
{
    api_dir_t *conf = dir;
    const char *error = ap_check_cmd_context(
        cmd, NOT_IN_DIRECTORY | NOT_IN_FILES | NOT_IN_HTACCESS);

    if (error)
        return error;
    conf->enabled = on;
    conf->prefix = cmd->path && cmd->path[0] == '/' ? cmd->path : "";
    wanted |= on;
    return NULL;
}

static const char *set_tracking(cmd_parms *cmd, void *dir, int on)
{
    const char *error = ap_check_cmd_context(
        cmd, NOT_IN_DIRECTORY | NOT_IN_LOCATION | NOT_IN_FILES
             | NOT_IN_HTACCESS);

    if (error)
        return error;
    ((api_dir_t *)dir)->tracking = on;
    wanted |= on;
    return NULL;
}

__attribute__((constructor)) static void make_commands(void)
{
    int n, i;
    const mg_directive_t *d = mg_config_directives(&n);

    for (i = 0; i < n && i < COMMANDS_MAX - 3; i++) {
        commands[i].name = d[i].name;
        commands[i].AP_TAKE_ARGV = set_shared;
        commands[i].cmd_data = (void *)&d[i];
        commands[i].req_override = RSRC_CONF;
        commands[i].args_how = TAKE_ARGV;
        commands[i].errmsg = d[i].help;
    }
    commands[i].name = "MailgunAPI";
    commands[i].AP_FLAG = set_api;
    commands[i].req_override = RSRC_CONF | ACCESS_CONF;
    commands[i].args_how = FLAG;
    commands[i].errmsg = "on: the API answers here, under /v2 and /v3";
    i++;
    commands[i].name = "MailgunTracking";
    commands[i].AP_FLAG = set_tracking;
    commands[i].req_override = RSRC_CONF;
    commands[i].args_how = FLAG;
    commands[i].errmsg = "on: tracking links are answered here, under /o, /c "
                         "and /u";
}

void *api_dir_create(apr_pool_t *p, char *dir)
{
    api_dir_t *conf = apr_pcalloc(p, sizeof(*conf));

    (void)dir;
    conf->enabled = conf->tracking = -1;
    conf->prefix = "";
    return conf;
}

void *api_dir_merge(apr_pool_t *p, void *base, void *add)
{
    const api_dir_t *old = base, *new = add;
    api_dir_t *conf = apr_pmemdup(p, new->enabled >= 0 ? new : old,
                                  sizeof(*conf));

    conf->tracking = new->tracking >= 0 ? new->tracking : old->tracking;
    return conf;
}

/* One mg_config_t: the main server's. Virtual hosts inherit it. */
void *api_server_create(apr_pool_t *p, server_rec *s)
{
    if (s->is_virtual)
        return NULL;
    wanted = 0;
    return mg_config_create(p);
}

void *api_server_merge(apr_pool_t *p, void *base, void *add)
{
    (void)p;
    (void)add;
    return base;
}

const api_dir_t *api_dir(const request_rec *r)
{
    return ap_get_module_config(r->per_dir_config, &mailgun_module);
}

const mg_config_t *api_config(const server_rec *s)
{
    return ap_get_module_config(s->module_config, &mailgun_module);
}

int api_is_wanted(void)
{
    return wanted;
}

int api_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                    server_rec *s)
{
    const char *wrong;

    (void)pconf;
    (void)plog;
    if (!wanted)
        return OK;
    wrong = mg_config_check(api_config(s), ptemp);
    if (!wrong)
        return OK;
    ap_log_error(APLOG_MARK, APLOG_ERR, 0, s, "%s", wrong);
    return HTTP_INTERNAL_SERVER_ERROR;
}
