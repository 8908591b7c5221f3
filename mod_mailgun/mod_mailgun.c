/* mod_mailgun.c - the module: hooks only.
 *
 * The HTTP face of the platform, for httpd 2.4 with the event MPM. Nothing is
 * initialised in the parent: it loads modules twice and unloads them on a
 * restart. api.h says who does what.
 */
#include "api.h"
#include "track.h"

#include <apr_strings.h>
#include <http_connection.h>
#include <http_protocol.h>
#include <http_request.h>

#define HANDLER "mailgun-api"
#define TRACK_HANDLER "mailgun-track"

/* Our paths are no files: neither directory sections nor mod_mime have a say.
 * <Location> sections have. */
static int on_translate_name(request_rec *r)
{
    const char *handler = api_is_ours(r) ? HANDLER
                          : track_is_ours(r) ? TRACK_HANDLER : NULL;

    if (!handler)
        return DECLINED;
    r->handler = handler;
    r->filename = apr_pstrdup(r->pool, handler);
    return OK;
}

static int is_api(const request_rec *r)
{
    return r->handler && strcmp(r->handler, HANDLER) == 0 &&
           api_dir(r)->enabled == 1;
}

static int is_track(const request_rec *r)
{
    return r->handler && strcmp(r->handler, TRACK_HANDLER) == 0 &&
           track_is_ours(r);
}

static int on_map_to_storage(request_rec *r)
{
    return is_api(r) || is_track(r) ? OK : DECLINED;
}

static int on_type_checker(request_rec *r)
{
    return is_api(r) || is_track(r) ? OK : DECLINED;
}

static int on_request(request_rec *r)
{
    return is_api(r) ? api_handle(r)
           : is_track(r) ? track_handle(r) : DECLINED;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(api_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(api_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(on_translate_name, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_map_to_storage(on_map_to_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_type_checker(on_type_checker, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(on_request, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_pre_close_connection(api_pre_close, NULL, NULL, APR_HOOK_FIRST);
}

AP_DECLARE_MODULE(mailgun) = {
    STANDARD20_MODULE_STUFF,
    api_dir_create,
    api_dir_merge,
    api_server_create,
    api_server_merge,
    api_commands,
    register_hooks,
    0
};
