/* mg_members_csv.c - see mg_members.h: CSV files (RFC 4180). */
#include <string.h>
#include <strings.h>
#include <apr_strings.h>

#include "mg_json.h"
#include "mg_members_private.h"
#include "mg_status.h"
#include "mg_text.h"

#define COLUMNS_MAX 64
#define COLUMN_NAME_MAX 64
#define FIELD_MAX MG_LIST_VARS_MAX

/* --- records --- */

typedef struct {
    const char *at, *end;
    int line;                        /* that at is in, from 1 */
    apr_pool_t *p;                   /* of a record */
} csv_t;

/* Behind a field's end: 1: another field follows; 0: the record ends; -1:
 * neither. */
static int after_field(csv_t *csv)
{
    if (csv->at == csv->end)
        return 0;
    if (*csv->at == ',') {
        csv->at++;
        return 1;
    }
    if (*csv->at == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n')
        csv->at++;
    if (*csv->at != '\n' && *csv->at != '\r')
        return -1;
    csv->at++;
    csv->line++;
    return 0;
}

/* "..." with "" for a quote. NULL: it does not end. */
static const char *quoted_field(csv_t *csv)
{
    const char *s = csv->at + 1, *quote;
    char *out, *o;

    for (quote = s; quote < csv->end; quote++)
        if (*quote == '"') {
            if (quote + 1 == csv->end || quote[1] != '"')
                break;
            quote++;
        }
    if (quote >= csv->end)
        return NULL;
    out = o = apr_palloc(csv->p, (apr_size_t)(quote - s) + 1);
    for (; s < quote; s++) {
        csv->line += *s == '\n';
        *o++ = *s;
        s += *s == '"'; /* the second of two */
    }
    *o = '\0';
    csv->at = quote + 1;
    return mg_text_clean(out, (apr_size_t)(o - out), csv->p);
}

static const char *plain_field(csv_t *csv)
{
    const char *s = csv->at, *end;

    while (csv->at < csv->end && *csv->at != ',' && *csv->at != '\r'
           && *csv->at != '\n')
        csv->at++;
    for (end = csv->at; end > s && (end[-1] == ' ' || end[-1] == '\t'); end--)
        ;
    while (s < end && (*s == ' ' || *s == '\t'))
        s++;
    return mg_text_clean(s, (apr_size_t)(end - s), csv->p);
}

/* What stands between commas; those beyond COLUMNS_MAX are lost.
 * @return fields; -1: a quote does not end, or something stands behind one */
static int read_record(const char **fields, csv_t *csv)
{
    int n = 0, more = 1;

    while (more > 0) {
        const char *field = csv->at < csv->end && *csv->at == '"'
                                ? quoted_field(csv) : plain_field(csv);

        if (!field)
            return -1;
        if (n < COLUMNS_MAX)
            fields[n++] = field;
        more = after_field(csv);
    }
    return more < 0 ? -1 : n;
}

/* --- columns --- */

typedef enum { OTHER, ADDRESS, NAME, DESCRIPTION, SUBSCRIBED, VARS } column_t;

typedef struct {
    column_t what[COLUMNS_MAX];
    const char *name[COLUMNS_MAX];
    int n;
} header_t;

static column_t column_of(const char *name)
{
    static const struct { const char *name; column_t what; } known[] = {
        { "address", ADDRESS }, { "email", ADDRESS },
        { "email address", ADDRESS }, { "name", NAME },
        { "description", DESCRIPTION }, { "subscribed", SUBSCRIBED },
        { "vars", VARS },
    };
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcasecmp(known[i].name, name) == 0)
            return known[i].what;
    return OTHER;
}

/* @return 0: the line is no header, but the first member */
static int read_header(header_t *header, const char *const *fields, int n,
                       apr_pool_t *p)
{
    int i, has_address = 0;

    memset(header, 0, sizeof(*header));
    for (i = 0; i < n; i++) {
        header->what[i] = column_of(fields[i]);
        header->name[i] = apr_pstrndup(p, fields[i], COLUMN_NAME_MAX);
        has_address |= header->what[i] == ADDRESS;
    }
    header->n = n;
    if (has_address)
        return 1;
    memset(header, 0, sizeof(*header));
    header->what[0] = ADDRESS;
    header->what[1] = NAME;
    header->n = 2;
    return 0;
}

/* --- members --- */

static int add_var(json_t **pvars, const char *name, const char *value)
{
    if (!*name || !*value)
        return 1;
    if (!*pvars)
        *pvars = json_object();
    return json_object_set_new(*pvars, name, json_string(value)) == 0;
}

static const char *set_field(mg_list_member_t *m, json_t **pextra,
                             const header_t *header, int i, const char *value,
                             apr_pool_t *p)
{
    int said;

    switch (header->what[i]) {
    case ADDRESS:
        return mg_members_address(m, value, p) == APR_SUCCESS
                   ? NULL : "the address is malformed";
    case NAME:
        if (*value)
            m->name = value;
        break;
    case DESCRIPTION:
        m->description = value;
        break;
    case SUBSCRIBED:
        said = *value ? mg_text_bool(value) : m->subscribed;
        if (said < 0)
            return "subscribed is no boolean";
        m->subscribed = said;
        break;
    case VARS:
        m->vars = mg_members_vars(value, strlen(value), p);
        return m->vars ? NULL : "vars is no JSON object, or too long";
    case OTHER:
        if (!add_var(pextra, header->name[i], value))
            return "a value is no text";
        break;
    }
    return NULL;
}

/* Columns that we do not know, into vars; what vars says itself wins. */
static const char *merge_vars(mg_list_member_t *m, json_t *extra,
                              apr_pool_t *p)
{
    const char *error;
    json_t *vars;

    mg_json_bind(extra, p);
    vars = mg_json_parse(m->vars, strlen(m->vars), &error, p);
    json_object_update(extra, vars);
    m->vars = mg_json_compact(extra, p);
    return m->vars && strlen(m->vars) <= MG_LIST_VARS_MAX
               ? NULL : "vars are too long";
}

static const char *read_member(mg_list_member_t *m, const header_t *header,
                               const char *const *fields, int n, apr_pool_t *p)
{
    const char *why = NULL;
    json_t *extra = NULL;
    int i;

    for (i = 0; !why && i < n && i < header->n; i++)
        why = strlen(fields[i]) > FIELD_MAX
                  ? "a field is too long"
                  : set_field(m, &extra, header, i, fields[i], p);
    if (extra && why)
        json_decref(extra);
    else if (extra)
        why = merge_vars(m, extra, p);
    if (!why && !m->address)
        why = "there is no address";
    return why ? why : mg_members_check(m);
}

static void take(mg_members_t *m, int line, const header_t *header,
                 const char *const *fields, int n, int subscribed,
                 apr_pool_t *p)
{
    mg_list_member_t *member = mg_members_make(subscribed, p);
    const char *why;

    if (n == 1 && !*fields[0])
        return; /* an empty line */
    why = read_member(member, header, fields, n, p);
    if (why)
        mg_members_skip(m, line, why);
    else
        APR_ARRAY_PUSH(m->members, mg_list_member_t *) = member;
}

apr_status_t mg_members_csv(mg_members_t **presult, const char **perror,
                            const char *bytes, apr_size_t len, int subscribed,
                            apr_pool_t *p)
{
    csv_t csv = { bytes, bytes + len, 1, p };
    mg_members_t *m = mg_members_create(p);
    const char *fields[COLUMNS_MAX];
    int line, n, has_header = 0;
    header_t header;

    *presult = m;
    if (len > MG_MEMBERS_CSV_MAX) {
        *perror = "CSV file is too big, max allowed size is 5 MB";
        return MG_EBADINPUT;
    }
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0)
        csv.at += 3;
    while (csv.at < csv.end) {
        line = csv.line;
        n = read_record(fields, &csv);
        if (n < 0) {
            *perror = apr_psprintf(p, "CSV file, line %d: a quote does not "
                                   "end, or does not end its field", line);
            return MG_EBADINPUT;
        }
        if (!has_header) {
            has_header = 1;
            if (read_header(&header, fields, n, p))
                continue;
        }
        take(m, line, &header, fields, n, subscribed, p);
    }
    return APR_SUCCESS;
}
