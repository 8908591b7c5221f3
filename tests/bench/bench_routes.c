/* bench_routes.c - what an account's routes cost a message: make bench-routes.
 *
 * 10,000 routes of one account, of several kinds, and a recipient that one of
 * them matches (the last that is asked) or none does. The peer asks each pattern
 * one after the other by pcre2_match(), compiled to machine code, as a plain
 * implementation would. CPU of one core, microseconds.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <apr_general.h>
#include <apr_strings.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "mg_mime.h"
#include "mg_route.h"
#include "mg_ruleset.h"

#define ROUTES 10000
#define ROUNDS 200

static const struct {
    const char *name, *expression, *pattern, *recipient;
} cases[] = {
    { "a domain each", "match_recipient('.*@d%d.example.com')",
      ".*@d%d.example.com", "anna@d9999.example.com" },
    { "an address each", "match_recipient('user%d@example.com')",
      "user%d@example.com", "user9999@example.com" },
    { "captures", "match_recipient('(?P<user>.*)\\+(.*)@d%d.example.com')",
      "(?P<user>.*)\\+(.*)@d%d.example.com", "anna+x@d9999.example.com" },
    { "one domain, nothing to tell them apart by",
      "match_recipient('[a-z]{%d}[0-9]+@example.com')",
      "[a-z]{%d}[0-9]+@example.com", "anna1@example.com" },
    { "header fields", "match_recipient('.*@example.com') and "
      "match_header('Subject', '.*ticket %d[^0-9]')", ".*ticket %d[^0-9]",
      "anna@example.com" },
};

static double cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static apr_array_header_t *make_routes(const char *expression, apr_pool_t *p)
{
    apr_array_header_t *routes = apr_array_make(p, ROUTES,
                                                sizeof(mg_route_t *));
    int i;

    for (i = 0; i < ROUTES; i++) {
        mg_route_t *r = apr_pcalloc(p, sizeof(*r));

        r->public_id = apr_psprintf(p, "%024d", i);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        r->expression = apr_psprintf(p, expression, i);
#pragma GCC diagnostic pop
        r->actions = apr_array_make(p, 1, sizeof(char *));
        APR_ARRAY_PUSH(r->actions, const char *) = "forward('http://h.test/')";
        APR_ARRAY_PUSH(routes, mg_route_t *) = r;
    }
    return routes;
}

static double peer(const char *pattern, const char *subject, apr_pool_t *p)
{
    static pcre2_code *codes[ROUTES];
    pcre2_match_data *data = pcre2_match_data_create(10, NULL);
    double begun;
    int i, k, error, rounds = ROUNDS / 4;
    PCRE2_SIZE at;

    for (i = 0; i < ROUTES; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        const char *one = apr_psprintf(p, pattern, i);
#pragma GCC diagnostic pop

        codes[i] = pcre2_compile((PCRE2_SPTR)one, PCRE2_ZERO_TERMINATED,
                                 PCRE2_ANCHORED | PCRE2_CASELESS
                                     | PCRE2_MATCH_INVALID_UTF, &error, &at,
                                 NULL);
        if (codes[i])
            pcre2_jit_compile(codes[i], PCRE2_JIT_COMPLETE);
    }
    begun = cpu();
    for (k = 0; k < rounds; k++)
        for (i = 0; i < ROUTES; i++)
            if (codes[i])
                pcre2_match(codes[i], (PCRE2_SPTR)subject, strlen(subject), 0,
                            0, data, NULL);
    begun = (cpu() - begun) / rounds;
    for (i = 0; i < ROUTES; i++)
        pcre2_code_free(codes[i]);
    pcre2_match_data_free(data);
    return begun;
}

static void run(int n, apr_pool_t *p)
{
    static const mg_header_t subject = { "Subject", "Re: ticket 9999 again",
                                         "Re: ticket 9999 again" };
    apr_array_header_t *headers = apr_array_make(p, 1, sizeof(mg_header_t));
    apr_array_header_t *routes = make_routes(cases[n].expression, p);
    double begun = cpu(), compiled, first, ours, theirs;
    mg_ruleset_t *set;
    apr_pool_t *ptemp;
    int i, found = 0;

    APR_ARRAY_PUSH(headers, mg_header_t) = subject;
    mg_ruleset_compile(&set, routes, p);
    compiled = cpu() - begun;
    apr_pool_create(&ptemp, p);
    begun = cpu();
    found = mg_ruleset_apply(set, cases[n].recipient, headers, ptemp)->nelts;
    first = cpu() - begun;
    for (i = 0; i < 20; i++) /* until they are machine code */
        mg_ruleset_apply(set, cases[n].recipient, headers, ptemp);
    apr_pool_clear(ptemp);
    begun = cpu();
    for (i = 0; i < ROUNDS; i++) {
        mg_ruleset_apply(set, cases[n].recipient, headers, ptemp);
        apr_pool_clear(ptemp);
    }
    ours = (cpu() - begun) / ROUNDS;
    theirs = peer(cases[n].pattern, n == 4 ? subject.value
                                           : cases[n].recipient, p);
    printf("%-42s %9.0f %9.0f %9.0f %9.0f %7.1f %5d\n", cases[n].name,
           compiled, first, ours, theirs, theirs / ours, found);
}

int main(void)
{
    apr_pool_t *root, *p;
    int i;

    apr_initialize();
    apr_pool_create(&root, NULL);
    printf("%d routes; microseconds of CPU\n%-42s %9s %9s %9s %9s %7s %5s\n",
           ROUTES, "", "set up", "1st mail", "a mail", "peer", "ratio",
           "match");
    for (i = 0; i < (int)(sizeof(cases) / sizeof(cases[0])); i++) {
        apr_pool_create(&p, root);
        run(i, p);
        apr_pool_destroy(p);
    }
    return 0;
}
