/* fuzz_verify.c - signatures and ARC chains of a hostile message, and a set on
 * top of it. What stands behind the first NUL is DNS's answer to all keys. */
#include "fuzz.h"
#include "mg_verify_private.h"

FUZZ(text, len, p)
{
    apr_size_t head_len = strlen(text), i;
    const char *record = head_len < len ? text + head_len + 1 : "v=DKIM1; p=";
    const char *end = strstr(text, "\r\n\r\n"), *results;
    mg_verify_t *v;
    int sets;

    if (end)
        head_len = (apr_size_t)(end + 2 - text);
    v = mg_verify_begin(text, head_len, 0, p);
    FUZZ_MUST(mg_verify_keys(v)->nelts <= MG_VERIFY_KEYS);
    for (i = 0; i < (apr_size_t)mg_verify_keys(v)->nelts; i++)
        mg_verify_key_found(v, (int)i, record);
    if (end)
        mg_verify_feed(v, end + 4, strlen(end + 4));
    mg_verify_end(v);
    mg_verify_arc(v, &sets);
    FUZZ_MUST(sets >= 0 && sets <= MG_ARC_SETS);
    results = mg_verify_results(v, "mx.test", p);
    for (i = 0; results[i]; i++)
        FUZZ_MUST(results[i] != '\n' || results[i + 1] == '\t');
}
