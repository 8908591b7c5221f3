/* mg_json_view.h - JSON text read where it stands (RFC 8259).
 *
 * For text of our own store of which a few members are wanted, or which goes
 * on as it is (mg_json_out.h): no tree is built, and a value is a piece of the
 * text. What mg_json_parse() would refuse is refused, except for numbers that
 * its types cannot hold.
 */
#ifndef MG_JSON_VIEW_H
#define MG_JSON_VIEW_H

#include <apr_pools.h>

/** A whole value, with the quotes of a string; at NULL: there is none. */
typedef struct {
    const char *at;
    apr_size_t len;
} mg_json_span_t;

typedef struct {
    mg_json_span_t name;            /* with quotes; not in arrays */
    mg_json_span_t value;
} mg_json_member_t;

typedef struct {
    int n;
    const mg_json_member_t *members;
} mg_json_view_t;

/**
 * The members of an object or array; deeper ones are checked only.
 *
 * @param bracket  '{' or '[': which it has to be
 * @param view     of p, and of text, which has to live as long; empty if it is
 *                 refused
 * @return whether the text is one, whole
 */
int mg_json_view(mg_json_view_t *view, const char *text, apr_size_t len,
                 char bracket, apr_pool_t *p);
/** The last of that name. Names are compared as they are written: in our own
 * text without escapes. */
mg_json_span_t mg_json_view_find(const mg_json_view_t *view, const char *name);
/** A string's text, in p; NULL: it is none. */
const char *mg_json_span_text(mg_json_span_t span, apr_pool_t *p);
/** An integer; 0: it is none. */
apr_int64_t mg_json_span_int(mg_json_span_t span);
int mg_json_span_is_true(mg_json_span_t span);

#endif
