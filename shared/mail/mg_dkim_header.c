/* mg_dkim_header.c - which header fields are signed, and their relaxed form
 * (RFC 6376 3.4.2, 5.4).
 *
 * h= names a field once for each time it is there; verifiers take them from
 * the bottom up, and so does this. A name once more than that says "and no
 * other": whoever adds one breaks the signature.
 */
#include <apr_strings.h>
#include <apr_tables.h>
#include <string.h>
#include <strings.h>

#include "dkim_internal.h"
#include "mg_status.h"

enum {
    IF_THERE,  /* as often as it is there */
    SEALED,    /* if it is there, once more */
    ALWAYS     /* once more than it is there */
};

typedef struct {
    const char *name;
    int how;
} signed_t;

/* In the order of h=. Resent-* is not sealed: to resend is to add them. */
static const signed_t signed_fields[] = {
    { "from", ALWAYS },
    { "sender", SEALED },
    { "reply-to", ALWAYS },
    { "subject", ALWAYS },
    { "date", ALWAYS },
    { "message-id", ALWAYS },
    { "to", ALWAYS },
    { "cc", ALWAYS },
    { "mime-version", SEALED },
    { "content-type", SEALED },
    { "content-transfer-encoding", SEALED },
    { "in-reply-to", SEALED },
    { "references", SEALED },
    { "list-id", ALWAYS },
    { "list-help", ALWAYS },
    { "list-unsubscribe", ALWAYS },
    { "list-unsubscribe-post", ALWAYS }, /* RFC 8058 wants it signed */
    { "list-subscribe", ALWAYS },
    { "list-post", ALWAYS },
    { "list-owner", ALWAYS },
    { "list-archive", ALWAYS },
    { "feedback-id", SEALED },
    { "resent-date", IF_THERE },
    { "resent-from", IF_THERE },
    { "resent-sender", IF_THERE },
    { "resent-to", IF_THERE },
    { "resent-cc", IF_THERE },
    { "resent-message-id", IF_THERE },
};
#define SIGNED ((int)(sizeof(signed_fields) / sizeof(signed_fields[0])))
#define FROM 0

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* 0: what stands before the colon is no name */
static apr_size_t name_length(const char *field, apr_size_t len)
{
    const char *colon = memchr(field, ':', len);
    apr_size_t n;

    if (!colon)
        return 0;
    n = (apr_size_t)(colon - field);
    while (n > 0 && is_space(field[n - 1]))
        n--;
    return n;
}

apr_size_t dkim_header_relax(char *out, const char *field, apr_size_t len)
{
    apr_size_t name_len = name_length(field, len), n, i;
    int space = 0, begun = 0;

    if (!name_len)
        return 0;
    for (n = 0; n < name_len; n++)
        out[n] = field[n] >= 'A' && field[n] <= 'Z' ? field[n] + 32 : field[n];
    for (i = name_len; field[i] != ':'; i++)
        ;
    out[n++] = ':';
    for (i++; i < len; i++) {
        if (field[i] == '\r' && i + 1 < len && field[i + 1] == '\n') {
            i++; /* unfolded: white space is behind it */
            continue;
        }
        if (is_space(field[i])) {
            space = 1;
            continue;
        }
        if (space && begun)
            out[n++] = ' ';
        space = 0;
        begun = 1;
        out[n++] = field[i];
    }
    return n;
}

/* It stops somewhere: to look for each name takes as many steps as there are
 * fields. */
apr_array_header_t *dkim_list_fields(const char *bytes, apr_size_t len,
                                     apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 32, sizeof(dkim_field_t));
    const char *at = bytes, *end = bytes + len, *from, *lf;
    dkim_field_t *f;

    while (at < end && list->nelts <= MG_DKIM_FIELDS_MAX) {
        from = at;
        do {
            lf = at;
            while ((lf = memchr(lf, '\n', (apr_size_t)(end - lf))) != NULL
                   && (lf == from || lf[-1] != '\r'))
                lf++;
            at = lf ? lf + 1 : end;
        } while (at < end && is_space(*at));
        f = apr_array_push(list);
        f->at = from;
        f->len = (apr_size_t)((lf ? lf - 1 : end) - from);
        f->name_len = name_length(from, f->len);
        f->used = 0;
        if (!f->name_len)
            apr_array_pop(list);
    }
    return list;
}

int dkim_field_is(const dkim_field_t *field, const char *name)
{
    return strlen(name) == field->name_len
           && strncasecmp(field->at, name, field->name_len) == 0;
}

/* The lowest field of that name that was not used yet. */
static dkim_field_t *lowest(const apr_array_header_t *fields, const char *name,
                       apr_size_t len)
{
    int i;

    for (i = fields->nelts - 1; i >= 0; i--) {
        dkim_field_t *f = &APR_ARRAY_IDX(fields, i, dkim_field_t);

        if (!f->used && f->name_len == len
            && strncasecmp(f->at, name, len) == 0)
            return f;
    }
    return NULL;
}

typedef struct {
    char *canon, *names;
    apr_size_t canon_len, names_len;
    int simple;
} writer_t;

/* Room for every field once and every name once more. */
static void writer_init(writer_t *w, const apr_array_header_t *fields,
                        apr_size_t block_len, apr_size_t extra, apr_pool_t *p)
{
    w->canon = apr_palloc(p, block_len + 2 * (apr_size_t)fields->nelts + 1);
    w->names = apr_palloc(p, block_len + extra + 2);
    w->canon_len = w->names_len = 0;
    w->simple = 0;
}

static void write_field(writer_t *w, dkim_field_t *f, const char *name,
                        apr_size_t len)
{
    if (f) {
        f->used = 1;
        if (w->simple) {
            memcpy(w->canon + w->canon_len, f->at, f->len);
            w->canon_len += f->len;
        }
        else {
            w->canon_len += dkim_header_relax(w->canon + w->canon_len, f->at,
                                              f->len);
        }
        w->canon[w->canon_len++] = '\r';
        w->canon[w->canon_len++] = '\n';
    }
    memcpy(w->names + w->names_len, name, len);
    w->names_len += len;
    w->names[w->names_len++] = '\0';
}

static void writer_end(dkim_header_t *header, writer_t *w)
{
    w->names[w->names_len] = '\0';
    header->names = w->names;
    header->canon = w->canon;
    header->canon_len = w->canon_len;
}

apr_status_t dkim_header_read(dkim_header_t *header, const char *bytes,
                              apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *fields = dkim_list_fields(bytes, len, p);
    apr_size_t extra = 0, name_len;
    writer_t w;
    dkim_field_t *f;
    int i, n;

    if (fields->nelts > MG_DKIM_FIELDS_MAX)
        return MG_EBADINPUT;
    for (i = 0; i < SIGNED; i++)
        extra += strlen(signed_fields[i].name) + 1;
    writer_init(&w, fields, len, extra, p);
    for (i = 0; i < SIGNED; i++) {
        const signed_t *s = &signed_fields[i];

        name_len = strlen(s->name);
        for (n = 0; (f = lowest(fields, s->name, name_len)) != NULL; n++)
            write_field(&w, f, s->name, name_len);
        if (i == FROM && n == 0)
            return MG_EBADINPUT;
        if (s->how == ALWAYS || (s->how == SEALED && n > 0))
            write_field(&w, NULL, s->name, name_len);
    }
    writer_end(header, &w);
    return APR_SUCCESS;
}

apr_status_t dkim_header_choose(dkim_header_t *header, const char *h,
                                int simple, const char *bytes,
                                apr_size_t len, apr_pool_t *p)
{
    apr_array_header_t *fields = dkim_list_fields(bytes, len, p);
    char *copy = apr_pstrdup(p, h), *last, *name;
    writer_t w;

    writer_init(&w, fields, len, strlen(h) + 1, p);
    w.simple = simple;
    for (name = apr_strtok(copy, ": ", &last); name;
         name = apr_strtok(NULL, ": ", &last))
        write_field(&w, lowest(fields, name, strlen(name)), name,
                    strlen(name));
    writer_end(header, &w);
    return APR_SUCCESS;
}
