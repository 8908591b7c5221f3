/* mg_json_out.h - JSON written straight into its text.
 *
 * For replies of many like items: a tree of jansson takes five times as long.
 * The text is the same that mg_json_pretty() or mg_json_ascii() make of a tree,
 * with members in the order in which they are written:
 *
 *     mg_json_out_open(out, NULL, '{');
 *     mg_json_out_text(out, "event", "opened");
 *     mg_json_out_close(out, '}');
 *
 * name: of a member of an object; NULL in arrays and at the top.
 */
#ifndef MG_JSON_OUT_H
#define MG_JSON_OUT_H

#include "mg_json_view.h"

typedef struct {
    char *text;                     /* NUL behind len */
    apr_size_t len, room;
    int pretty, depth;
    apr_pool_t *p;
} mg_json_out_t;

/** @param pretty  two spaces a level; 0: one line
 *  @param room    octets it will have by guess, so that none are moved */
mg_json_out_t *mg_json_out_make(int pretty, apr_size_t room, apr_pool_t *p);
void mg_json_out_open(mg_json_out_t *out, const char *name, char bracket);
void mg_json_out_close(mg_json_out_t *out, char bracket);
/** text NULL: nothing is written. What is no UTF-8 becomes U+FFFD. */
void mg_json_out_text(mg_json_out_t *out, const char *name, const char *text);
void mg_json_out_int(mg_json_out_t *out, const char *name, apr_int64_t n);
void mg_json_out_bool(mg_json_out_t *out, const char *name, int value);
/** Seconds since 1970 with what is below a second: 1325376000.0, .123456. */
void mg_json_out_seconds(mg_json_out_t *out, const char *name, apr_int64_t us);
/** A value as it was read, numbers with the digits they have. One that is not
 * there: nothing is written. */
void mg_json_out_copy(mg_json_out_t *out, const char *name,
                      mg_json_span_t value);

#endif
