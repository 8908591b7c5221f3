/* api_suppressions.h - between the files of /<domain>/bounces, /complaints and
 * /unsubscribes. */
#ifndef API_SUPPRESSIONS_H
#define API_SUPPRESSIONS_H

#include "api.h"
#include "mg_suppression.h"

typedef struct {
    const char *path;
    mg_suppression_kind_t kind;
    const char *single;          /* version 2 wraps one in this */
    /* texts (reference, section 6); added_many stands behind a number */
    const char *not_found, *added, *added_many, *removed, *cleared;
} api_suppressions_t;

/** Which of the three a request is about. */
const api_suppressions_t *api_suppressions_of(const api_t *q);
/** Items of a reply; version 3 has all tags of an address in one. */
json_t *api_suppressions_json(api_t *q, const apr_array_header_t *list);
json_t *api_suppression_json(api_t *q, const mg_suppression_t *entry);
/** What a client wants added: 400, or in the form that is stored. */
int api_suppression_check(api_t *q, mg_suppression_t *entry);

/* api_suppressions_page.c: what version 3 has besides */
int api_suppressions_page(api_t *q, apr_int64_t limit);
/** The body, a JSON array, as entries of mg_suppression_t (one per tag);
 * *pn: how many addresses. */
int api_suppressions_read(api_t *q, apr_array_header_t **pentries, int *pn);

#endif
