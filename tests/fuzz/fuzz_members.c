/* fuzz_members.c - members of mailing lists: as JSON and as CSV, the same
 * bytes. */
#include "fuzz.h"
#include "mg_json.h"
#include "mg_members.h"
#include "mg_text.h"

static void check(const mg_members_t *m, apr_pool_t *p)
{
    int i;

    FUZZ_MUST(m->errors->nelts <= MG_MEMBERS_ERRORS_MAX
              && m->errors->nelts <= m->skipped);
    for (i = 0; i < m->members->nelts; i++) {
        const mg_list_member_t *one = APR_ARRAY_IDX(m->members, i,
                                                    const mg_list_member_t *);
        const char *error;

        FUZZ_MUST(strchr(one->address, '@') && strlen(one->address) <= 254);
        FUZZ_MUST(!strpbrk(one->address, "\r\n"));
        FUZZ_MUST(mg_text_is_utf8(one->name, strlen(one->name)));
        FUZZ_MUST(strlen(one->vars) <= MG_LIST_VARS_MAX);
        FUZZ_MUST(json_is_object(mg_json_parse(one->vars, strlen(one->vars),
                                               &error, p)));
        FUZZ_MUST(one->subscribed == 0 || one->subscribed == 1);
    }
}

FUZZ(text, len, p)
{
    mg_members_t *members;
    const char *error = NULL;

    if (mg_members_json(&members, &error, text, len, 1, p) == APR_SUCCESS)
        check(members, p);
    else
        FUZZ_MUST(error && *error);
    error = NULL;
    if (mg_members_csv(&members, &error, text, len, 0, p) == APR_SUCCESS)
        check(members, p);
    else
        FUZZ_MUST(error && *error);
}
