/* fuzz_json_view.c - JSON read and written as text, beside jansson: the same
 * is refused, but for numbers out of range; what is written reads the same. Up
 * to a NUL: jansson takes "[1\0]", and the store has none. */
#include "fuzz.h"
#include "mg_json.h"
#include "mg_json_out.h"

/* The way out, and in again. */
static void copy(mg_json_span_t span, json_t *json, int pretty, apr_pool_t *p)
{
    mg_json_out_t *out = mg_json_out_make(pretty, 0, p);
    json_t *again;

    mg_json_out_copy(out, NULL, span);
    again = json_loadb(out->text, out->len, JSON_DECODE_ANY, NULL);
    FUZZ_MUST(again && json_equal(json, again));
    json_decref(again);
}

FUZZ(text, len, p)
{
    char bracket = *text == '[' ? '[' : '{', *exact;
    mg_json_view_t view;
    const char *error;
    json_t *json;
    int i, ok;

    len = strlen(text);
    exact = fuzz_exact(text, len);
    json = mg_json_parse(text, len, &error, p);
    ok = mg_json_view(&view, exact, len, bracket, p);
    if (!json || (bracket == '[' ? !json_is_array(json)
                                 : !json_is_object(json))) {
        FUZZ_MUST(json || !ok || strstr(error, "too big")
                  || strstr(error, "overflow"));
    }
    else {
        FUZZ_MUST(ok);
        copy((mg_json_span_t){ exact, len }, json, 1, p);
        copy((mg_json_span_t){ exact, len }, json, 0, p);
    }
    for (i = 0; i < view.n; i++) {
        if (bracket == '{')
            FUZZ_MUST(mg_json_span_text(view.members[i].name, p));
        mg_json_span_text(view.members[i].value, p);
        mg_json_span_int(view.members[i].value);
    }
    free(exact);
}
