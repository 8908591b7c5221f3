/* fuzz_event_filter.c - filters of GET /<domain>/events. The first octet
 * chooses the field, the first line is the filter, the rest the value. */
#include "fuzz.h"
#include "mg_event_filter.h"

FUZZ(text, len, p)
{
    mg_filter_field_t field =
        (mg_filter_field_t)((unsigned char)text[0] % MG_FILTER_MAX);
    const char *error = NULL, *filter = len ? text + 1 : text, *word;
    char *value = len ? strchr(text + 1, '\n') : NULL;
    mg_event_filter_t *f;

    if (value)
        *value++ = '\0';
    if (mg_event_filter_compile(&f, field, filter, &error, p)
        != APR_SUCCESS) {
        FUZZ_MUST(error && *error);
        return;
    }
    word = mg_event_filter_word(f);
    FUZZ_MUST(!word || *word);
    if (field == MG_FILTER_SIZE) {
        mg_event_filter_matches_number(f, (apr_int64_t)len);
        return;
    }
    mg_event_filter_matches(f, (const char *const *)&value, value ? 1 : 0);
    mg_event_filter_matches(f, &filter, 1);
}
