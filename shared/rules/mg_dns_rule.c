/* mg_dns_rule.c - see mg_dns_rule.h. */
#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_dkim_key.h"
#include "mg_dns_rule.h"
#include "mg_status.h"

/* --- what is needed --- */

static const char *spf_of(const mg_config_t *config, apr_pool_t *p)
{
    const char *terms = NULL;
    int i;

    for (i = 0; i < config->spf->nelts; i++)
        terms = apr_pstrcat(p, terms ? terms : "", " ",
                            APR_ARRAY_IDX(config->spf, i, char *), NULL);
    if (!terms)
        terms = apr_pstrcat(p, " a:", config->hostname, NULL);
    return apr_pstrcat(p, "v=spf1", terms, " ~all", NULL);
}

static mg_dns_record_t *add(apr_array_header_t *list, const char *record,
                            const char *type, const char *name,
                            const char *value)
{
    mg_dns_record_t *r = apr_array_push(list);

    memset(r, 0, sizeof(*r));
    r->record = record;
    r->type = type;
    r->name = name;
    r->value = value;
    r->state = "";
    r->valid = "unknown";
    r->seen = "";
    return r;
}

static void add_mx(apr_array_header_t *list, const mg_config_t *config,
                   const char *domain)
{
    int i;

    for (i = 0; i < config->mx->nelts; i++)
        add(list, "mx", "MX", domain,
            APR_ARRAY_IDX(config->mx, i, char *))->priority = 10;
    if (config->mx->nelts == 0)
        add(list, "mx", "MX", domain, config->hostname)->priority = 10;
}

static void add_seen(apr_array_header_t *list, const apr_array_header_t *seen)
{
    int i, k;

    for (i = 0; i < list->nelts; i++) {
        mg_dns_record_t *r = &APR_ARRAY_IDX(list, i, mg_dns_record_t);

        for (k = 0; k < seen->nelts; k++) {
            const mg_dns_seen_t *s = &APR_ARRAY_IDX(seen, k, mg_dns_seen_t);

            if (strcmp(s->record, r->record) != 0)
                continue;
            r->valid = s->valid;
            r->seen = s->seen;
            r->checked_at = s->checked_at;
        }
    }
}

apr_status_t mg_dns_records(apr_array_header_t **plist,
                            const mg_config_t *config, mg_db_t *db,
                            const mg_domain_t *domain, apr_pool_t *p)
{
    apr_array_header_t *list = apr_array_make(p, 6, sizeof(mg_dns_record_t));
    apr_array_header_t *keys, *seen;
    apr_status_t rv;
    int i;

    *plist = list;
    rv = mg_domain_dkim(&keys, db, domain->id, p);
    if (rv == APR_SUCCESS)
        rv = mg_dns_seen(&seen, db, domain->id, p);
    if (rv != APR_SUCCESS)
        return rv;
    add_mx(list, config, domain->name);
    add(list, "spf", "TXT", domain->name, spf_of(config, p));
    for (i = 0; i < keys->nelts; i++) {
        const mg_dkim_public_t *key = &APR_ARRAY_IDX(keys, i,
                                                     mg_dkim_public_t);

        add(list, apr_pstrcat(p, "dkim.", key->selector, NULL), "TXT",
            mg_dkim_name(key, domain->name, p), mg_dkim_record(key, p))
            ->state = mg_dkim_state_name(key);
    }
    if (mg_config_tracking_host_is_own(config))
        add(list, "cname", "CNAME",
            mg_config_tracking_host(config, domain->name, p),
            config->tracking_target ? config->tracking_target
                                    : config->hostname);
    add_seen(list, seen);
    return APR_SUCCESS;
}

/* --- TXT --- */

/* RFC 7208 4.5: "v=spf1" and the end or a space. */
static int is_spf(const char *text)
{
    return strncasecmp(text, "v=spf1", 6) == 0
           && (text[6] == '\0' || text[6] == ' ');
}

/* Is a term of want among those before "all"? A "+" is the same as none. */
static int has_term(const char *text, const char *term, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, text), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word;
         word = apr_strtok(NULL, " ", &last)) {
        const char *bare = word + (*word == '+');

        if (strcasecmp(bare, term) == 0)
            return 1;
        bare += strspn(bare, "-~?");
        if (strcasecmp(bare, "all") == 0)
            return 0;
    }
    return 0;
}

static int spf_is_good(const char *want, const char *text, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, want), *last, *word;

    for (word = apr_strtok(copy, " ", &last); word;
         word = apr_strtok(NULL, " ", &last))
        if (strcasecmp(word, "~all") != 0 && !has_term(text, word, p))
            return 0;
    return 1;
}

static mg_dns_verdict_t judge_spf(const mg_dns_record_t *want,
                                  const apr_array_header_t *found,
                                  const char **pseen, apr_pool_t *p)
{
    const char *text = NULL;
    int i;

    for (i = 0; i < found->nelts; i++) {
        if (!is_spf(APR_ARRAY_IDX(found, i, char *)))
            continue;
        if (text) {
            *pseen = apr_pstrcat(p, "several: ", text, " | ",
                                 APR_ARRAY_IDX(found, i, char *), NULL);
            return MG_DNS_WRONG; /* RFC 7208 4.5: an error for receivers */
        }
        text = APR_ARRAY_IDX(found, i, char *);
    }
    *pseen = text ? text : "";
    return !text ? MG_DNS_MISSING
           : spf_is_good(want->value, text, p) ? MG_DNS_VALID : MG_DNS_WRONG;
}

/* The value of a tag (RFC 6376 3.2) without white space; NULL: not there. */
static const char *tag_of(const char *text, const char *name, apr_pool_t *p)
{
    char *copy = apr_pstrdup(p, text), *last, *tag, *value, *in, *out;

    for (tag = apr_strtok(copy, ";", &last); tag;
         tag = apr_strtok(NULL, ";", &last)) {
        for (in = out = tag; *in; in++)
            if (!apr_isspace(*in))
                *out++ = *in;
        *out = '\0';
        value = strchr(tag, '=');
        if (!value)
            continue;
        *value++ = '\0';
        if (strcmp(tag, name) == 0)
            return value;
    }
    return NULL;
}

static int dkim_is_good(const char *want, const char *text, apr_pool_t *p)
{
    const char *version = tag_of(text, "v", p), *kind = tag_of(text, "k", p);
    const char *key = tag_of(text, "p", p);

    return (!version || strcmp(version, "DKIM1") == 0)
           && strcmp(kind ? kind : "rsa", tag_of(want, "k", p)) == 0
           && key && strcmp(key, tag_of(want, "p", p)) == 0;
}

static mg_dns_verdict_t judge_dkim(const mg_dns_record_t *want,
                                   const apr_array_header_t *found,
                                   const char **pseen, apr_pool_t *p)
{
    int i;

    *pseen = found->nelts ? APR_ARRAY_IDX(found, 0, char *) : "";
    if (found->nelts == 0)
        return MG_DNS_MISSING;
    /* with several, a receiver may take either (RFC 6376 3.6.2.2) */
    for (i = 0; i < found->nelts; i++)
        if (!dkim_is_good(want->value, APR_ARRAY_IDX(found, i, char *), p)) {
            *pseen = APR_ARRAY_IDX(found, i, char *);
            return MG_DNS_WRONG;
        }
    return MG_DNS_VALID;
}

mg_dns_verdict_t mg_dns_judge_text(const mg_dns_record_t *want,
                                   const apr_array_header_t *found,
                                   const char **pseen, apr_pool_t *p)
{
    return strcmp(want->record, "spf") == 0
               ? judge_spf(want, found, pseen, p)
               : judge_dkim(want, found, pseen, p);
}

/* --- hosts --- */

static int same_host(const char *a, const char *b)
{
    apr_size_t na = strlen(a), nb = strlen(b);

    na -= na > 0 && a[na - 1] == '.';
    nb -= nb > 0 && b[nb - 1] == '.';
    return na == nb && strncasecmp(a, b, na) == 0;
}

mg_dns_verdict_t mg_dns_judge_host(const mg_dns_record_t *want,
                                   const apr_array_header_t *wanted,
                                   const apr_array_header_t *found,
                                   const char **pseen, apr_pool_t *p)
{
    mg_dns_verdict_t verdict = MG_DNS_MISSING;
    int i, k;

    *pseen = "";
    for (i = 0; i < found->nelts; i++) {
        const char *host = APR_ARRAY_IDX(found, i, char *);

        *pseen = apr_pstrcat(p, *pseen, i ? " " : "", *host ? host : ".",
                             NULL);
        if (*host && verdict == MG_DNS_MISSING) /* a null MX is none */
            verdict = MG_DNS_WRONG;
        for (k = 0; k < wanted->nelts; k++) {
            const mg_dns_record_t *r = &APR_ARRAY_IDX(wanted, k,
                                                      mg_dns_record_t);

            if (strcmp(r->record, want->record) == 0
                && same_host(r->value, host))
                verdict = MG_DNS_VALID;
        }
    }
    return verdict;
}

/* --- zone files --- */

char *mg_dns_zone_text(const char *value, apr_pool_t *p)
{
    apr_size_t len = strlen(value), n;
    char *text = "";

    do {
        n = len < 255 ? len : 255;
        text = apr_pstrcat(p, text, *text ? " \"" : "\"",
                           apr_pstrmemdup(p, value, n), "\"", NULL);
        value += n;
        len -= n;
    } while (len > 0);
    return text;
}
