/* fuzz_date.c - dates, days and slugs of tags, as requests have them. */
#include "fuzz.h"
#include "mg_stat.h"
#include "mg_status.h"
#include "mg_time.h"

FUZZ(text, len, p)
{
    const char *slug = mg_stat_slug(text, p), *again;
    apr_int64_t day, other;
    apr_time_t t;

    (void)len;
    FUZZ_MUST(strlen(slug) <= strlen(text));
    FUZZ_MUST(strspn(slug, "abcdefghijklmnopqrstuvwxyz0123456789-_")
              == strlen(slug));
    FUZZ_MUST(strcmp(mg_stat_slug(slug, p), slug) == 0);
    if (mg_time_parse_day(&day, text) != APR_SUCCESS) {
        FUZZ_MUST(mg_time_parse(&t, text) == MG_EBADINPUT);
        return;
    }
    if (mg_time_parse(&t, text) == APR_SUCCESS)
        FUZZ_MUST(mg_time_day(t) == day);
    again = mg_time_day_text(day, p);
    if (strlen(again) == 10 && again[0] != '-') {
        FUZZ_MUST(mg_time_parse_day(&other, again) == APR_SUCCESS);
        FUZZ_MUST(other == day);
    }
}
