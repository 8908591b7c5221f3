/* mg_sending.c - see mg_sending.h. */
#include <string.h>

#include "mg_json.h"
#include "mg_sending.h"

static int flag(const json_t *options, const char *key, int unsaid)
{
    const json_t *value = json_object_get(options, key);

    return json_is_boolean(value) ? json_is_true(value) : unsaid;
}

void mg_sending_read(mg_sending_t *sending, const char *options,
                     apr_pool_t *p)
{
    const json_t *json = NULL, *dsn;
    const char *why;

    if (options && *options)
        json = mg_json_parse(options, strlen(options), &why, p);
    sending->dkim = flag(json, "dkim", -1);
    sending->require_tls = flag(json, "require-tls", -1);
    sending->skip_verification = flag(json, "skip-verification", -1);
    sending->testmode = flag(json, "testmode", 0);
    sending->batch = flag(json, "batch", 0);
    sending->list = mg_list_copy_read(json, p);
    sending->plan = json_object_get(json, "template");
    if (!json_is_array(sending->plan))
        sending->plan = NULL;
    sending->is_template = sending->plan != NULL;
    sending->deliver_within = apr_time_from_sec(
        json_integer_value(json_object_get(json, "deliver-within")));
    dsn = json_object_get(json, "dsn");
    sending->dsn_ret = json_string_value(json_object_get(dsn, "ret"));
    sending->dsn_envid = json_string_value(json_object_get(dsn, "envid"));
}
