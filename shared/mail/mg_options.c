/* mg_options.c - see mg_options.h. */
#include "mg_options.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>

#include "mg_mime.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"

#define DELIVERY_TIME_MAX apr_time_from_sec(3 * 24 * 3600)

mg_options_t *mg_options_create(apr_pool_t *p)
{
    mg_options_t *options = apr_pcalloc(p, sizeof(*options));

    options->pool = p;
    options->options = json_object();
    options->variables = json_object();
    mg_json_bind(options->options, p);
    mg_json_bind(options->variables, p);
    options->headers = apr_table_make(p, 4);
    return options;
}

int mg_options_is_name(const char *name)
{
    return (name[0] == 'o' || name[0] == 'h' || name[0] == 'v') &&
           name[1] == ':' && name[2];
}

/* o: */

static apr_status_t set_list(mg_options_t *options, const char *key,
                             const char *value)
{
    json_t *list = json_object_get(options->options, key);

    if (!list) {
        list = json_array();
        json_object_set_new(options->options, key, list);
    }
    json_array_append_new(list, json_string(value));
    return APR_SUCCESS;
}

static apr_status_t set_text(mg_options_t *options, const char *key,
                             const char *value)
{
    json_object_set_new(options->options, key, json_string(value));
    return APR_SUCCESS;
}

/* What is no boolean is kept as it is: it is judged where it is used. */
static apr_status_t set_bool(mg_options_t *options, const char *key,
                             const char *value)
{
    int yes = mg_text_bool(value);

    if (yes < 0)
        return set_text(options, key, value);
    json_object_set_new(options->options, key, json_boolean(yes));
    if (strcmp(key, "testmode") == 0)
        options->testmode = yes;
    return APR_SUCCESS;
}

static apr_status_t set_clicks(mg_options_t *options, const char *key,
                               const char *value)
{
    int yes = mg_text_bool(value);

    return set_text(options, key, yes < 0 ? value : yes ? "yes" : "no");
}

static apr_status_t set_time(mg_options_t *options, const char *value,
                             apr_time_t now, const char **perror)
{
    apr_time_t due;

    if (mg_time_parse(&due, value) != APR_SUCCESS) {
        *perror = apr_psprintf(options->pool,
                               "%s is not an RFC-2822 compliant date", value);
        return MG_EBADINPUT;
    }
    if (due > now + DELIVERY_TIME_MAX) {
        *perror = "'o:deliverytime' parameter is too far in the future: "
                  "the limit is 3 days";
        return MG_EBADINPUT;
    }
    options->due_at = due > now ? due : 0;
    return set_text(options, "deliverytime", value);
}

static const struct {
    const char *parameter, *field, *key;
    apr_status_t (*set)(mg_options_t *, const char *, const char *);
} known[] = {
    /* o:...            X-Mailgun-...    in options */
    { "tag",             "Tag",          "tags",            set_list },
    { "campaign",        "Campaign-Id",  "campaigns",       set_list },
    { "dkim",            "Dkim",         "dkim",            set_bool },
    { "testmode",        "Drop-Message", "testmode",        set_bool },
    { "tracking",        "Track",        "tracking",        set_bool },
    { "tracking-opens",  "Track-Opens",  "tracking-opens",  set_bool },
    { "tracking-clicks", "Track-Clicks", "tracking-clicks", set_clicks },
};
#define KNOWN (sizeof(known) / sizeof(known[0]))

static apr_status_t add_option(mg_options_t *options, const char *name,
                               const char *value, apr_time_t now,
                               const char **perror)
{
    apr_size_t i;

    if (strcasecmp(name, "deliverytime") == 0)
        return set_time(options, value, now, perror);
    for (i = 0; i < KNOWN; i++)
        if (strcasecmp(name, known[i].parameter) == 0)
            return known[i].set(options, known[i].key, value);
    return set_text(options, name, value);
}

/* h: */

static int is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s >= 0x80)
            return 0;
    return 1;
}

/* RFC 5322 3.6.8: printable, without colon */
static int is_field_name(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s == ':' || *s == 0x7f)
            return 0;
    return 1;
}

static apr_status_t add_header(mg_options_t *options, const char *name,
                               const char *value, const char **perror)
{
    apr_pool_t *p = options->pool;

    if (!is_ascii(name)) {
        *perror = apr_psprintf(p, "Header name must be pure ASCII: %s", name);
        return MG_EBADINPUT;
    }
    if (!is_field_name(name)) {
        *perror = apr_psprintf(p, "Header name is not valid: %s",
                               mg_text_clean(name, strlen(name), p));
        return MG_EBADINPUT;
    }
    if (mg_text_breaks_header(value, strlen(value))) {
        *perror = apr_psprintf(p, "Header value must be one line: %s", name);
        return MG_EBADINPUT;
    }
    apr_table_add(options->headers, name, value);
    return APR_SUCCESS;
}

/* v: */

static json_t *variable(const char *value, apr_pool_t *p)
{
    const char *s = value, *why;
    json_t *json;

    while (apr_isspace(*s))
        s++;
    if (*s != '{' && *s != '[')
        return json_string(value);
    json = mg_json_parse(value, strlen(value), &why, p);
    return json ? json_incref(json) : json_string(value);
}

apr_status_t mg_options_add(mg_options_t *options, const char *name,
                            const char *value, apr_time_t now,
                            const char **perror)
{
    options->bytes += strlen(name) + strlen(value);
    if (options->bytes > MG_OPTIONS_LIMIT) {
        *perror = "Send options (parameters starting with o:, h:, or v:) are "
                  "limited to 16 kB total";
        return MG_EBADINPUT;
    }
    if (name[0] == 'o')
        return add_option(options, name + 2, value, now, perror);
    if (name[0] == 'h')
        return add_header(options, name + 2, value, perror);
    json_object_set_new(options->variables, name + 2,
                        variable(value, options->pool));
    return APR_SUCCESS;
}

/* submitted header fields */

static void add_variables(mg_options_t *options, const char *value)
{
    const char *why;
    json_t *json = mg_json_parse(value, strlen(value), &why, options->pool);

    if (json && json_is_object(json))
        json_object_update(options->variables, json);
}

apr_status_t mg_options_from_headers(mg_options_t *options,
                                     const apr_array_header_t *headers,
                                     apr_time_t now, const char **perror)
{
    static const char prefix[] = "X-Mailgun-";
    apr_status_t rv = APR_SUCCESS;
    apr_size_t k;
    int i;

    for (i = 0; i < headers->nelts && rv == APR_SUCCESS; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, const mg_header_t);
        const char *field = h->name + sizeof(prefix) - 1;

        if (strncasecmp(h->name, prefix, sizeof(prefix) - 1) != 0)
            continue;
        if (strcasecmp(field, "Variables") == 0)
            add_variables(options, h->value);
        else if (strcasecmp(field, "Deliver-By") == 0)
            rv = set_time(options, h->value, now, perror);
        for (k = 0; k < KNOWN; k++)
            if (strcasecmp(field, known[k].field) == 0)
                rv = known[k].set(options, known[k].key, h->value);
    }
    return rv;
}

/* out */

char *mg_options_json(const mg_options_t *options, apr_pool_t *p)
{
    if (!json_object_size(options->options))
        return NULL;
    return mg_json_compact(options->options, p);
}

char *mg_options_variables(const mg_options_t *options, apr_pool_t *p)
{
    if (!json_object_size(options->variables))
        return NULL;
    return mg_json_compact(options->variables, p);
}
