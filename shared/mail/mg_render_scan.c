/* mg_render_scan.c - is this message a template, and where are its variables?
 *
 * The content is looked at line by line as it comes, whatever pieces it comes
 * in. Of each entity (the message, then the parts of its multiparts) the
 * header block is collected, and the body where it is text; of the rest only
 * lines that could be boundaries are looked at.
 *
 * What comes out are numbers, message.options "template":
 *
 *     [[0, head, body, own To], [offset, head, body], ...]
 *
 * the message's header block first, then each part that holds variables, in
 * octets of the content. body is 0 where there is no variable in it. What is
 * tracked of a part stands behind, as the fifth (mg_render_private.h); the
 * message's own has "u": it gets List-Unsubscribe.
 */
#include <apr_strings.h>
#include <string.h>

#include "mg_render_private.h"
#include "mg_status.h"

#define DEPTH_MAX 32
#define PARTS_MAX 1000
#define HEAD_MAX (256 * 1024)       /* of the message */
#define PART_HEAD_MAX (32 * 1024)
#define BOUNDARY_MAX 200            /* RFC 2046 5.1.1 says 70 */
#define TEXTS_MAX (2 * MG_RENDER_TEXT_MAX)
#define VARIABLES_MAX 10000
#define LINKS_MAX 1500              /* of all texts */

typedef struct {
    char text[BOUNDARY_MAX + 3];    /* with the two dashes */
    apr_size_t len;
    const char *default_type;       /* of its parts */
} boundary_t;

struct mg_render_scan_t {
    apr_pool_t *p, *part_pool;
    int flags;
    apr_int64_t offset;             /* of what comes next */
    enum { IN_HEAD, IN_TEXT, IN_LONG_TEXT, IN_REST, IN_NOTHING } state;
    int in_line;                    /* the line's beginning is behind us */
    char held[BOUNDARY_MAX + 80];   /* a line that may be a boundary */
    apr_size_t nheld;

    boundary_t stack[DEPTH_MAX];
    int depth, parts;
    const char *default_type;

    apr_int64_t start;              /* where this entity begins */
    apr_size_t head_len;
    char *buf;                      /* head, then text */
    apr_size_t used, size;
    mime_entity_t entity;

    json_t *plan;                   /* what was found */
    apr_int64_t root_head;          /* the message's header block */
    int root_fields;                /* it holds variables */
    apr_int64_t root_text;          /* its body, where that holds some */
    apr_int64_t texts;
    int variables, too_deep;

    mg_render_track_t *track;       /* or NULL */
    json_t *root_track;             /* of the message's own body */
    int html, plain;                /* there was such a text */
    int links;                      /* of all texts */
    int has_list_field;             /* List-Unsubscribe is the sender's own */
    int unsubscribes;               /* a text has a variable for that */
    const char *error;
};

mg_render_scan_t *mg_render_scan_begin(int flags, mg_render_track_t *track,
                                       apr_pool_t *p)
{
    mg_render_scan_t *scan = apr_pcalloc(p, sizeof(*scan));

    scan->p = p;
    apr_pool_create(&scan->part_pool, p);
    scan->flags = flags;
    if (track && mg_tracking_is_on(&track->tracking))
        scan->track = track;
    scan->default_type = "text/plain";
    scan->plan = json_array();
    mg_json_bind(scan->plan, p);
    return scan;
}

/* --- entities --- */

int render_is_text(const mime_entity_t *e)
{
    switch (e->encoding) {
    case GMIME_CONTENT_ENCODING_UUENCODE:
        return 0;
    default:
        return strcmp(e->type, "text") == 0 && !e->is_attachment
               && !(e->filename && *e->filename);
    }
}

const char *render_decode(apr_size_t *plen, const mime_entity_t *e,
                          apr_pool_t *p)
{
    apr_size_t len;
    const char *bytes = mime_entity_decode(&len, e, p);
    const char *text = mime_to_utf8(e->charset, bytes, len, p);

    *plen = strlen(text);
    return text;
}

/* Base64 hides everything, quoted-printable hides it as =25, and ISO-2022 and
 * its like have percent signs that are none: but not one is there without the
 * octet, or without an encoding that has to be undone first. */
static int may_hold_variables(const mime_entity_t *e)
{
    if (e->encoding == GMIME_CONTENT_ENCODING_BASE64
        || memchr(e->body, '%', e->body_len))
        return 1;
    return e->encoding == GMIME_CONTENT_ENCODING_QUOTEDPRINTABLE
           && memmem(e->body, e->body_len, "=25", 3);
}

static int count_variables(mg_render_scan_t *scan)
{
    const mime_entity_t *e = &scan->entity;
    apr_pool_t *p = scan->part_pool;
    apr_array_header_t *tokens;
    int i, variables = 0;
    apr_size_t len;
    const char *text;

    if (!may_hold_variables(e))
        return 0;
    text = render_decode(&len, e, p);
    if (!render_has_variables(text, len))
        return 0;
    render_parse(&tokens, &variables, text, len, p);
    for (i = 0; i < tokens->nelts; i++)
        scan->unsubscribes |=
            APR_ARRAY_IDX(tokens, i, render_token_t).kind >= RENDER_URL;
    return variables;
}

static void complain(mg_render_scan_t *scan, const char *error)
{
    if (!scan->error)
        scan->error = error;
    scan->state = IN_NOTHING;
}

/* @param track  what of it is tracked, or NULL */
static void found(mg_render_scan_t *scan, apr_size_t body_len, int variables,
                  json_t *track)
{
    scan->texts += (apr_int64_t)body_len;
    scan->variables += variables;
    if (scan->start == 0) {
        scan->root_text = (apr_int64_t)body_len;
        scan->root_track = track;
        if (track)
            mg_json_bind(track, scan->p);
    }
    else if (track)
        json_array_append_new(scan->plan,
                              json_pack("[IIIio]", (json_int_t)scan->start,
                                        (json_int_t)scan->head_len,
                                        (json_int_t)body_len, 0, track));
    else
        json_array_append_new(scan->plan,
                              json_pack("[III]", (json_int_t)scan->start,
                                        (json_int_t)scan->head_len,
                                        (json_int_t)body_len));
    if (json_array_size(scan->plan) > MG_RENDER_SPOTS_MAX)
        complain(scan, "too many parts hold variables: maximum is 64");
    else if (scan->texts > TEXTS_MAX)
        complain(scan, "the texts that hold variables are larger than 1 MB "
                       "together");
    else if (scan->variables > VARIABLES_MAX)
        complain(scan, "too many variables: maximum is 10000");
}

/* What of this text is to be tracked, a new reference; NULL: nothing. With
 * variables in it, it goes by the limits of these; without, it is let go. */
static json_t *track_text(mg_render_scan_t *scan, int variables)
{
    const mime_entity_t *e = &scan->entity;
    const mg_tracking_t *t = scan->track ? &scan->track->tracking : NULL;
    int html = strcmp(e->subtype, "html") == 0, first;
    const char *why = NULL;
    json_t *numbers;

    if (!t || (!html && strcmp(e->subtype, "plain") != 0))
        return NULL;
    first = html ? !scan->html++ : !scan->plain++;
    if (!variables
        && (json_array_size(scan->plan) >= MG_RENDER_SPOTS_MAX
            || scan->texts + (apr_int64_t)e->body_len > TEXTS_MAX)) {
        scan->track->left_alone = "its texts are many, or large";
        return NULL;
    }
    numbers = render_track_find(e, variables != 0, first && html && t->opens,
                                first && t->unsubscribe,
                                t->clicks == MG_CLICKS_YES
                                    || (html && t->clicks),
                                &why, scan->part_pool);
    scan->links += (int)json_array_size(json_object_get(numbers, "l")) / 2;
    if (scan->links > LINKS_MAX) {
        json_object_del(numbers, "l");
        why = "it has more than 1500 links";
    }
    if (why)
        scan->track->left_alone = why;
    return numbers;
}

/* The line end before a boundary is the boundary's. */
static void end_entity(mg_render_scan_t *scan, int by_boundary)
{
    apr_size_t len = scan->used;
    json_t *track;
    int variables;

    if (scan->state == IN_TEXT) {
        if (by_boundary && len > scan->head_len && scan->buf[len - 1] == '\n')
            len--;
        if (by_boundary && len > scan->head_len && scan->buf[len - 1] == '\r')
            len--;
        scan->entity.body = scan->buf + scan->head_len;
        scan->entity.body_len = len - scan->head_len;
        variables = count_variables(scan);
        track = track_text(scan, variables);
        if (variables || track)
            found(scan, scan->entity.body_len, variables, track);
    }
    if (scan->state != IN_NOTHING)
        scan->state = IN_REST;
}

static void push_boundary(mg_render_scan_t *scan, const mime_entity_t *e)
{
    apr_size_t len = e->boundary ? strlen(e->boundary) : 0;
    boundary_t *b;

    if (len == 0 || len > BOUNDARY_MAX || strcmp(e->subtype, "signed") == 0
        || strcmp(e->subtype, "encrypted") == 0)
        return;
    if (scan->depth == DEPTH_MAX) {
        scan->too_deep = 1;
        return;
    }
    b = &scan->stack[scan->depth++];
    memcpy(b->text, "--", 2);
    memcpy(b->text + 2, e->boundary, len + 1);
    b->len = len + 2;
    b->default_type = strcmp(e->subtype, "digest") == 0 ? "message/rfc822"
                                                        : "text/plain";
}

static int fields_hold_variables(const apr_array_header_t *headers,
                                 apr_pool_t *p)
{
    int i;

    for (i = 0; i < headers->nelts; i++)
        if (render_field_parse(&APR_ARRAY_IDX(headers, i, mg_header_t), p))
            return 1;
    return 0;
}

/* The header block is whole. */
static void on_head(mg_render_scan_t *scan)
{
    mime_entity_t *e = &scan->entity;

    mime_entity_read(e, scan->buf, scan->used, scan->default_type,
                     scan->part_pool);
    scan->state = IN_REST;
    if (e->body_len > 0) {
        /* a line that is no field: body from there on, as others see it */
        if (scan->start == 0)
            scan->state = IN_NOTHING;
        return;
    }
    scan->head_len = scan->used;
    if (scan->start == 0) {
        scan->root_head = (apr_int64_t)scan->used;
        scan->root_fields = fields_hold_variables(e->headers,
                                                  scan->part_pool);
        scan->has_list_field = mg_mime_header(e->headers, "List-Unsubscribe")
                               != NULL;
    }
    if (strcmp(e->type, "multipart") == 0)
        push_boundary(scan, e);
    else if (render_is_text(e))
        scan->state = IN_TEXT;
    if (scan->depth == 0 && scan->state == IN_REST)
        scan->state = IN_NOTHING;
}

static void begin_part(mg_render_scan_t *scan, const char *default_type)
{
    apr_pool_clear(scan->part_pool);
    memset(&scan->entity, 0, sizeof(scan->entity));
    scan->default_type = default_type;
    scan->start = scan->offset;
    scan->used = 0;
    scan->head_len = 0;
    scan->state = ++scan->parts > PARTS_MAX ? IN_NOTHING : IN_HEAD;
}

/* --- lines --- */

static void keep(mg_render_scan_t *scan, const char *bytes, apr_size_t len)
{
    char *larger;

    if (scan->used + len > scan->size) {
        while (scan->used + len > scan->size)
            scan->size = scan->size ? scan->size * 2 : 8192;
        larger = apr_palloc(scan->p, scan->size);
        if (scan->used)
            memcpy(larger, scan->buf, scan->used);
        scan->buf = larger;
    }
    memcpy(scan->buf + scan->used, bytes, len);
    scan->used += len;
}

static int head_is_whole(const mg_render_scan_t *scan)
{
    const char *end = scan->buf + scan->used;

    if (scan->used == 2)
        return memcmp(scan->buf, "\r\n", 2) == 0;
    return scan->used >= 3 && memcmp(end - 3, "\n\r\n", 3) == 0;
}

/* Content that is no boundary: a line, or some of one. */
static void take(mg_render_scan_t *scan, const char *bytes, apr_size_t len,
                 int line_ends)
{
    scan->offset += (apr_int64_t)len;
    scan->in_line = !line_ends;
    switch (scan->state) {
    case IN_HEAD:
        if (scan->used + len > (scan->start ? PART_HEAD_MAX : HEAD_MAX)) {
            scan->state = scan->start ? IN_REST : IN_NOTHING;
            break;
        }
        keep(scan, bytes, len);
        if (line_ends && head_is_whole(scan))
            on_head(scan);
        break;
    case IN_TEXT:
        if (scan->used + len - scan->head_len <= MG_RENDER_TEXT_MAX) {
            keep(scan, bytes, len);
            break;
        }
        scan->state = IN_LONG_TEXT;
        if (scan->track)
            scan->track->left_alone = "a text is larger than 512 kB";
        if (render_has_variables(scan->buf + scan->head_len,
                                 scan->used - scan->head_len))
            complain(scan, "a text that holds variables is larger than "
                           "512 kB");
        /* fall through */
    case IN_LONG_TEXT:
        if (render_has_variables(bytes, len))
            complain(scan, "a text that holds variables is larger than "
                           "512 kB");
        break;
    case IN_REST:
    case IN_NOTHING:
        break;
    }
}

/* @return which of the open boundaries the line is, from the innermost; -1 */
static int boundary_of(const mg_render_scan_t *scan, const char *line,
                       apr_size_t len, int *pclose)
{
    const char *c, *end = line + len;
    int i;

    for (i = scan->depth - 1; i >= 0; i--) {
        const boundary_t *b = &scan->stack[i];

        if (len < b->len || memcmp(line, b->text, b->len) != 0)
            continue;
        c = line + b->len;
        *pclose = end - c >= 2 && c[0] == '-' && c[1] == '-';
        if (*pclose)
            c += 2;
        while (c < end && (*c == ' ' || *c == '\t' || *c == '\r'))
            c++;
        if (c == end || *c == '\n')
            return i;
    }
    return -1;
}

/* A whole line that begins with "--", or the end of the content. */
static void on_dashes(mg_render_scan_t *scan, const char *line,
                      apr_size_t len)
{
    int close = 0, i = boundary_of(scan, line, len, &close);

    if (i < 0) {
        take(scan, line, len, line[len - 1] == '\n');
        return;
    }
    end_entity(scan, 1);
    scan->offset += (apr_int64_t)len;
    scan->in_line = 0;
    if (scan->state == IN_NOTHING)
        return;
    scan->depth = close ? i : i + 1;
    if (close)
        scan->state = i == 0 ? IN_NOTHING : IN_REST;
    else
        begin_part(scan, scan->stack[i].default_type);
}

/* The line so far may be a boundary: it is held until that is clear. @return
 * how much was used */
static apr_size_t hold(mg_render_scan_t *scan, const char *bytes,
                       apr_size_t len)
{
    const char *eol = memchr(bytes, '\n', len);
    apr_size_t n = eol ? (apr_size_t)(eol + 1 - bytes) : len;
    apr_size_t room = sizeof(scan->held) - scan->nheld;
    int whole = eol != NULL && n <= room;

    if (n > room)
        n = room;
    memcpy(scan->held + scan->nheld, bytes, n);
    scan->nheld += n;
    if (!whole && scan->nheld < sizeof(scan->held)
        && (scan->nheld < 2 || scan->held[1] == '-'))
        return n;
    len = scan->nheld;
    scan->nheld = 0;
    if (whole)
        on_dashes(scan, scan->held, len);
    else
        take(scan, scan->held, len, 0);
    return n;
}

void mg_render_scan_feed(mg_render_scan_t *scan, const char *bytes,
                         apr_size_t len)
{
    const char *s = bytes, *end = bytes + len, *eol;

    while (s < end && scan->state != IN_NOTHING) {
        if (scan->nheld || (!scan->in_line && scan->depth && *s == '-')) {
            s += hold(scan, s, (apr_size_t)(end - s));
            continue;
        }
        eol = memchr(s, '\n', (apr_size_t)(end - s));
        eol = eol ? eol + 1 : end;
        take(scan, s, (apr_size_t)(eol - s), eol[-1] == '\n');
        s = eol;
    }
}

/* --- the end --- */

/* There may be a variable for unsubscribing behind a text that was to have a
 * footer. */
static void drop_footers(mg_render_scan_t *scan)
{
    size_t i;

    json_object_del(scan->root_track, "f");
    for (i = 0; i < json_array_size(scan->plan); i++)
        json_object_del(json_array_get(json_array_get(scan->plan, i), 4), "f");
}

/* The first of the plan's entries. */
static json_t *root_of(mg_render_scan_t *scan, int own_to)
{
    json_t *root = json_pack("[IIIi]", (json_int_t)0,
                             (json_int_t)scan->root_head,
                             (json_int_t)scan->root_text, own_to);

    if (scan->track && scan->track->tracking.unsubscribe
        && !scan->has_list_field) {
        if (!scan->root_track) {
            scan->root_track = json_object();
            mg_json_bind(scan->root_track, scan->p);
        }
        json_object_set_new(scan->root_track, "u", json_integer(1));
    }
    if (scan->root_track)
        json_array_append(root, scan->root_track);
    return root;
}

apr_status_t mg_render_scan_end(mg_render_scan_t *scan, json_t *options,
                                const char **perror)
{
    int own_to = scan->flags & MG_RENDER_OWN_TO;
    apr_size_t len = scan->nheld;
    json_t *root;

    scan->nheld = 0;
    if (len && scan->state != IN_NOTHING)
        on_dashes(scan, scan->held, len);
    if (scan->state != IN_NOTHING)
        end_entity(scan, 0);
    if (!scan->error && !scan->root_head && own_to)
        scan->error = "the message has no header that could be read";
    if (scan->unsubscribes)
        drop_footers(scan);
    root = root_of(scan, own_to);
    if (!scan->error && scan->root_head
        && (own_to || scan->root_fields || scan->root_text
            || json_array_size(root) > 4
            || json_array_size(scan->plan) > 0)) {
        if (scan->too_deep && (own_to || scan->variables
                               || scan->root_fields))
            scan->error = "parts are nested deeper than 32";
        json_array_insert(scan->plan, 0, root);
        if (!scan->error)
            json_object_set(options, "template", scan->plan);
    }
    json_decref(root);
    *perror = scan->error;
    return scan->error ? MG_EBADINPUT : APR_SUCCESS;
}
