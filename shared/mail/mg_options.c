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
#define WITHIN_MAX (365 * 24 * 3600)  /* seconds; the retry limit is shorter */

/* One option as it is read: where it stands, to say so in an error. */
typedef struct {
    mg_options_t *options;
    const char *where;    /* "'o:tag' parameter", "'X-Mailgun-Tag' header" */
    apr_time_t now;
    const char **perror;
} input_t;

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

static int is_ascii(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s >= 0x80)
            return 0;
    return 1;
}

static apr_status_t refuse(const input_t *in, const char *why)
{
    *in->perror = apr_pstrcat(in->options->pool, in->where, why, NULL);
    return MG_EBADINPUT;
}

static apr_status_t count_bytes(mg_options_t *options, const char *name,
                                const char *value, const char **perror)
{
    options->bytes += strlen(name) + strlen(value);
    if (options->bytes <= MG_OPTIONS_LIMIT)
        return APR_SUCCESS;
    *perror = "Send options (parameters starting with o:, h:, or v:) are "
              "limited to 16 kB total";
    return MG_EBADINPUT;
}

/* o: */

static apr_status_t set_text(const input_t *in, const char *key,
                             const char *value)
{
    json_object_set_new(in->options->options, key, json_string(value));
    return APR_SUCCESS;
}

static int list_has(const json_t *list, const char *value,
                    int (*compare)(const char *, const char *))
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
        if (compare(json_string_value(item), value) == 0)
            return 1;
    return 0;
}

/* An empty one is a form's field that nobody filled in; the same twice is one.
 */
static apr_status_t set_list(const input_t *in, const char *key,
                             const char *value, size_t max,
                             int (*compare)(const char *, const char *))
{
    json_t *list = json_object_get(in->options->options, key);

    if (!*value || list_has(list, value, compare))
        return APR_SUCCESS;
    if (!list) {
        list = json_array();
        json_object_set_new(in->options->options, key, list);
    }
    if (json_array_size(list) >= max) {
        *in->perror = apr_psprintf(in->options->pool, "Too many %s, max is %d",
                                   key, (int)max);
        return MG_EBADINPUT;
    }
    json_array_append_new(list, json_string(value));
    return APR_SUCCESS;
}

static apr_status_t set_tag(const input_t *in, const char *key,
                            const char *value)
{
    if (!is_ascii(value))
        return refuse(in, " must be pure ASCII");
    if (strlen(value) > MG_TAG_LENGTH_MAX)
        return refuse(in, " is longer than 128 characters");
    return set_list(in, key, value, MG_TAGS_MAX, strcasecmp);
}

static apr_status_t set_campaign(const input_t *in, const char *key,
                                 const char *value)
{
    if (in->options->ignores_campaigns)
        return APR_SUCCESS;
    return set_list(in, key, value, MG_CAMPAIGNS_MAX, strcmp);
}

/* What is no boolean is kept as it is: it counts as not said. */
static apr_status_t set_bool(const input_t *in, const char *key,
                             const char *value)
{
    int yes = mg_text_bool(value);

    if (yes < 0)
        return set_text(in, key, value);
    json_object_set_new(in->options->options, key, json_boolean(yes));
    return APR_SUCCESS;
}

/* Not to be misread: mail would leave that was not meant to. */
static apr_status_t set_strict(const input_t *in, const char *key,
                               const char *value)
{
    int yes = mg_text_bool(value);

    if (yes < 0)
        return refuse(in, " must be yes or no");
    return set_bool(in, key, value);
}

static apr_status_t set_testmode(const input_t *in, const char *key,
                                 const char *value)
{
    apr_status_t rv = set_strict(in, key, value);

    if (rv == APR_SUCCESS)
        in->options->testmode = mg_text_bool(value);
    return rv;
}

static apr_status_t set_clicks(const input_t *in, const char *key,
                               const char *value)
{
    int yes = mg_text_bool(value);

    return set_text(in, key, yes < 0 ? value : yes ? "yes" : "no");
}

static apr_status_t set_time(const input_t *in, const char *key,
                             const char *value)
{
    apr_time_t due;

    if (mg_time_parse(&due, value) != APR_SUCCESS) {
        *in->perror = apr_psprintf(in->options->pool,
                                   "%s is not an RFC-2822 compliant date",
                                   value);
        return MG_EBADINPUT;
    }
    if (due > in->now + DELIVERY_TIME_MAX)
        return refuse(in, " is too far in the future: the limit is 3 days");
    in->options->due_at = due > in->now ? due : 0;
    return set_text(in, key, value);
}

/* 1*(1*DIGIT ("d" / "h" / "m" / "s")), in seconds; 0: it is none */
static apr_int64_t read_duration(const char *s)
{
    apr_int64_t total = 0, n;

    while (*s) {
        if (!apr_isdigit(*s))
            return 0;
        for (n = 0; apr_isdigit(*s) && n <= WITHIN_MAX; s++)
            n = n * 10 + (*s - '0');
        n *= *s == 'd' ? 86400 : *s == 'h' ? 3600 : *s == 'm' ? 60
             : *s == 's' ? 1 : 0;
        if (n == 0 || n > WITHIN_MAX || (total += n) > WITHIN_MAX)
            return 0;
        s++;
    }
    return total;
}

static apr_status_t set_within(const input_t *in, const char *key,
                               const char *value)
{
    apr_int64_t seconds = read_duration(value);

    if (seconds == 0)
        return refuse(in, " is not a duration like 1h30m");
    in->options->deliver_within = apr_time_from_sec(seconds);
    json_object_set_new(in->options->options, key, json_integer(seconds));
    return APR_SUCCESS;
}

static const struct {
    const char *parameter, *field, *key;
    apr_status_t (*set)(const input_t *, const char *, const char *);
    int is_removed;
} known[] = {
    /* o:... and X-Mailgun-..., the key in options, and does the field go? */
    { "tag", "Tag", "tags", set_tag, 0 },
    { "campaign", "Campaign-Id", "campaigns", set_campaign, 0 },
    { "dkim", "Dkim", "dkim", set_bool, 0 },
    { "deliverytime", "Deliver-By", "deliverytime", set_time, 1 },
    { "deliver-within", "Deliver-Within", "deliver-within", set_within, 1 },
    { "testmode", "Drop-Message", "testmode", set_testmode, 1 },
    { "tracking", "Track", "tracking", set_bool, 0 },
    { "tracking-opens", "Track-Opens", "tracking-opens", set_bool, 0 },
    { "tracking-clicks", "Track-Clicks", "tracking-clicks", set_clicks, 0 },
    { "require-tls", "Require-TLS", "require-tls", set_strict, 1 },
    { "skip-verification", "Skip-Verification", "skip-verification",
      set_strict, 1 },
};
#define KNOWN (int)(sizeof(known) / sizeof(known[0]))

/* Keys that are ours to set, and of another shape. */
static int is_reserved(const char *name)
{
    static const char *const names[] = { "tags", "campaigns", "batch",
                                         "template", "dsn", NULL };
    int i;

    for (i = 0; names[i]; i++)
        if (strcasecmp(name, names[i]) == 0)
            return 1;
    return 0;
}

static apr_status_t add_option(const input_t *in, const char *name,
                               const char *value)
{
    int i;

    for (i = 0; i < KNOWN; i++)
        if (strcasecmp(name, known[i].parameter) == 0)
            return known[i].set(in, known[i].key, value);
    return is_reserved(name) ? APR_SUCCESS : set_text(in, name, value);
}

/* X-Mailgun-...: field is what stands behind that */

static const char *field_of(const char *name)
{
    return strncasecmp(name, "X-Mailgun-", 10) == 0 ? name + 10 : NULL;
}

/* @return 0: it is no JSON object, and stays as it is */
static int add_variables(mg_options_t *options, const char *value)
{
    const char *why;
    json_t *json = mg_json_parse(value, strlen(value), &why, options->pool);

    if (json_is_object(json)) {
        json_object_update(options->variables, json);
        return 1;
    }
    if (!options->bad_variables)
        options->bad_variables = value;
    return 0;
}

static int known_field(const char *field)
{
    int i;

    for (i = 0; i < KNOWN; i++)
        if (strcasecmp(field, known[i].field) == 0)
            return i;
    return -1;
}

static apr_status_t add_field(const input_t *in, const char *name,
                              const char *field, const char *value,
                              int is_counted)
{
    int i = known_field(field);

    if (strcasecmp(field, "Recipient-Variables") == 0)
        return mg_options_recipient_variables(in->options, value,
                                              strlen(value), in->perror);
    if (i < 0 && strcasecmp(field, "Variables") != 0)
        return APR_SUCCESS;
    if (!is_counted &&
        count_bytes(in->options, name, value, in->perror) != APR_SUCCESS)
        return MG_EBADINPUT;
    if (i >= 0)
        return known[i].set(in, known[i].key, value);
    add_variables(in->options, value);
    return APR_SUCCESS;
}

int mg_options_removes_field(const char *name)
{
    /* the first is not for other recipients' eyes; the others are what we put
     * on top ourselves (reference, section 3) */
    static const char *const names[] = { "Recipient-Variables", "Sid",
                                         "Sending-Ip", NULL };
    const char *field = field_of(name);
    int i;

    if (!field)
        return 0;
    for (i = 0; names[i]; i++)
        if (strcasecmp(field, names[i]) == 0)
            return 1;
    i = known_field(field);
    return i >= 0 && known[i].is_removed;
}

/* h: */

/* RFC 5322 3.6.8: printable, without colon */
static int is_field_name(const char *s)
{
    for (; *s; s++)
        if (*s <= ' ' || *s == ':' || *s == 0x7f)
            return 0;
    return 1;
}

static apr_status_t add_header(const input_t *in, const char *name,
                               const char *value)
{
    apr_pool_t *p = in->options->pool;
    const char *field = field_of(name);

    if (!is_ascii(name)) {
        *in->perror = apr_psprintf(p, "Header name must be pure ASCII: %s",
                                   name);
        return MG_EBADINPUT;
    }
    if (!is_field_name(name)) {
        *in->perror = apr_psprintf(p, "Header name is not valid: %s",
                                   mg_text_clean(name, strlen(name), p));
        return MG_EBADINPUT;
    }
    if (mg_text_breaks_header(value, strlen(value))) {
        *in->perror = apr_psprintf(p, "Header value must be one line: %s",
                                   name);
        return MG_EBADINPUT;
    }
    if (field && strcasecmp(field, "Variables") == 0) {
        if (add_variables(in->options, value))
            return APR_SUCCESS;
    }
    else if (field && add_field(in, name, field, value, 1) != APR_SUCCESS)
        return MG_EBADINPUT;
    if (mg_options_removes_field(name))
        return APR_SUCCESS;
    apr_table_add(in->options->headers, name, value);
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

/* all of them */

apr_status_t mg_options_add(mg_options_t *options, const char *name,
                            const char *value, apr_time_t now,
                            const char **perror)
{
    input_t in = { options, NULL, now, perror };

    if (count_bytes(options, name, value, perror) != APR_SUCCESS)
        return MG_EBADINPUT;
    in.where = apr_pstrcat(options->pool, "'", name, "' parameter", NULL);
    if (name[0] == 'o')
        return add_option(&in, name + 2, value);
    if (name[0] == 'h')
        return add_header(&in, name + 2, value);
    json_object_set_new(options->variables, name + 2,
                        variable(value, options->pool));
    return APR_SUCCESS;
}

apr_status_t mg_options_from_headers(mg_options_t *options,
                                     const apr_array_header_t *headers,
                                     apr_time_t now, const char **perror)
{
    input_t in = { options, NULL, now, perror };
    apr_status_t rv = APR_SUCCESS;
    int i;

    for (i = 0; i < headers->nelts && rv == APR_SUCCESS; i++) {
        const mg_header_t *h = &APR_ARRAY_IDX(headers, i, mg_header_t);
        const char *field = field_of(h->name);

        if (!field)
            continue;
        in.where = apr_pstrcat(options->pool, "'", h->name, "' header", NULL);
        rv = add_field(&in, h->name, field, h->value, 0);
    }
    return rv;
}

/* recipient variables */

apr_status_t mg_options_recipient_variables(mg_options_t *options,
                                            const char *text, apr_size_t len,
                                            const char **perror)
{
    const char *address, *why;
    json_t *json = mg_json_parse(text, len, &why, options->pool), *own;

    if (!json_is_object(json)) {
        *perror = "'recipient-variables' parameter is not a valid JSON";
        return MG_EBADINPUT;
    }
    options->recipient_variables = json_object();
    mg_json_bind(options->recipient_variables, options->pool);
    json_object_foreach(json, address, own)
        json_object_set(options->recipient_variables,
                        mg_text_lower(address, options->pool), own);
    json_object_set_new(options->options, "batch", json_true());
    return APR_SUCCESS;
}

char *mg_options_of_recipient(const mg_options_t *options, const char *address,
                              apr_pool_t *p)
{
    const json_t *own = json_object_get(options->recipient_variables,
                                        mg_text_lower(address, p));

    return json_is_object(own) ? mg_json_compact(own, p) : NULL;
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

apr_array_header_t *mg_options_campaigns(const mg_options_t *options,
                                         apr_pool_t *p)
{
    const json_t *list = json_object_get(options->options, "campaigns"), *id;
    apr_array_header_t *ids = apr_array_make(p, MG_CAMPAIGNS_MAX,
                                             sizeof(const char *));
    size_t i;

    json_array_foreach(list, i, id)
        APR_ARRAY_PUSH(ids, const char *) = json_string_value(id);
    return ids;
}
