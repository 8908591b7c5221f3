/* mg_arc.c - see mg_arc.h. */
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#include "mg_arc.h"
#include "mg_verify_private.h"

/* Our Authentication-Results behind "host;", NUL at its end. NULL: there is
 * none. */
static const char *find_results(const apr_array_header_t *fields,
                                const char *host, apr_pool_t *p)
{
    apr_size_t n = strlen(host), len;
    const char *text;
    int i;

    for (i = 0; i < fields->nelts; i++) {
        const dkim_field_t *f = &APR_ARRAY_IDX(fields, i, dkim_field_t);

        if (!dkim_field_is(f, "Authentication-Results"))
            continue;
        text = memchr(f->at, ':', f->len);
        text++;
        len = (apr_size_t)(f->at + f->len - text);
        while (len > 0 && (*text == ' ' || *text == '\t'))
            text++, len--;
        if (len > n && strncasecmp(text, host, n) == 0 && text[n] == ';')
            return apr_pstrmemdup(p, text, len);
    }
    return NULL;
}

/* The word behind "arc=": it begins a line, as mg_verify_results() writes it. */
static const char *cv_of(const char *results, int nsets)
{
    const char *arc = strstr(results, "\n\tarc=");

    if (!arc)
        return NULL;
    arc += 6;
    if (strncmp(arc, "none", 4) == 0)
        return nsets == 0 ? "none" : NULL;
    if (strncmp(arc, "pass", 4) == 0)
        return nsets > 0 ? "pass" : NULL;
    return strncmp(arc, "fail", 4) == 0 && nsets > 0 ? "fail" : NULL;
}

static void put(char *canon, apr_size_t *plen, const char *field,
                apr_size_t len)
{
    *plen += dkim_header_relax(canon + *plen, field, len);
    canon[(*plen)++] = '\r';
    canon[(*plen)++] = '\n';
}

/* All sets there are, relaxed, in their order, with room for what follows. */
static char *canon_of(apr_size_t *plen, const mg_verify_t *v, int nsets,
                      apr_size_t room)
{
    char *canon = apr_palloc(v->p, v->head_len + 6 * (apr_size_t)nsets + room
                                       + 8);
    int i;

    *plen = 0;
    for (i = 0; i < nsets; i++) {
        put(canon, plen, v->sets[i].results->at, v->sets[i].results->len);
        put(canon, plen, v->sets[i].signature->at, v->sets[i].signature->len);
        put(canon, plen, v->sets[i].seal->at, v->sets[i].seal->len);
    }
    return canon;
}

/* The highest instance of any ARC field, as a broken chain has it. 0: there is
 * none; -1: the last seal says that the chain has failed. */
static int last_instance(const apr_array_header_t *fields, apr_pool_t *p)
{
    int i, last = 0, failed = 0;

    for (i = 0; i < fields->nelts; i++) {
        const dkim_field_t *f = &APR_ARRAY_IDX(fields, i, dkim_field_t);
        const char *text = memchr(f->at, ':', f->len) + 1, *cv;
        verify_tags_t tags;
        apr_int64_t n;

        if (!dkim_field_is(f, "ARC-Seal")
            || !verify_tags_read(&tags, text,
                                 (apr_size_t)(f->at + f->len - text), p))
            continue;
        n = verify_tag_number(&tags, "i");
        if (n <= last || n > MG_ARC_SETS)
            continue;
        last = (int)n;
        cv = verify_tag_packed(&tags, "cv", p);
        failed = cv && strcmp(cv, "fail") == 0;
    }
    return failed ? -1 : last;
}

apr_status_t mg_arc_seal(const char **pfields, apr_size_t *plen,
                         const mg_dkim_signer_t *signer,
                         const mg_dkim_content_t *content, const char *host,
                         apr_time_t at, apr_pool_t *p)
{
    apr_size_t head_len, signature_len, seal_len, canon_len, results_len;
    const char *head = dkim_content_head(&head_len, content);
    mg_verify_t *v = mg_verify_begin(head, head_len, at, p);
    const char *found = find_results(v->fields, host, p), *cv, *signature;
    const char *results, *seal;
    int last = last_instance(v->fields, p);
    apr_status_t rv;
    char *canon;

    cv = found && last >= 0 ? cv_of(found, last) : NULL;
    if (!cv || last >= MG_ARC_SETS)
        return APR_ENOENT;
    results = apr_psprintf(p, "ARC-Authentication-Results: i=%d; %s\r\n",
                           last + 1, found);
    results_len = strlen(results);
    rv = dkim_sign_field(&signature, &signature_len, signer, content,
                         last + 1, at, p);
    if (rv != APR_SUCCESS)
        return rv;
    /* RFC 8617 5.1.2: of a chain that failed, its own set alone */
    canon = canon_of(&canon_len, v, strcmp(cv, "pass") == 0 ? last : 0,
                     results_len + signature_len);
    put(canon, &canon_len, results, results_len - 2);
    put(canon, &canon_len, signature, signature_len - 2);
    rv = dkim_seal_field(&seal, &seal_len, signer, last + 1, cv, canon,
                         canon_len, at, p);
    if (rv != APR_SUCCESS)
        return rv;
    *pfields = apr_pstrcat(p, seal, signature, results, NULL);
    *plen = seal_len + signature_len + results_len;
    return APR_SUCCESS;
}
