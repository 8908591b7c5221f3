/* mg_form.h - form bodies, read as they arrive.
 *
 * application/x-www-form-urlencoded (URL standard, 5.1) and
 * multipart/form-data (RFC 7578). Bytes are fed in any pieces. Values stay in
 * memory up to a limit for the whole form, the others go to one spool file that
 * has no name: a process that is killed leaves nothing behind, and a request
 * has one descriptor, however many large fields it has.
 *
 * application/json is one field without a name: its bytes.
 *
 * Names lose the bracket suffix that PHP and Ruby clients add ("to[]",
 * "to[0]"); a name may repeat. Names and file names are valid UTF-8; values
 * are bytes as they came.
 */
#ifndef MG_FORM_H
#define MG_FORM_H

#include <apr_file_io.h>
#include <apr_tables.h>

typedef struct {
    const char *name;
    const char *filename;      /* NULL: no file; no directories */
    const char *content_type;  /* NULL: none was given */
    const char *value;         /* NUL behind it; NULL: in file */
    apr_file_t *file;          /* the form's */
    apr_off_t offset;          /* where the value begins in it */
    apr_int64_t size;
} mg_form_field_t;

typedef struct {
    apr_size_t memory;         /* bytes of values in memory, all together */
    apr_int64_t total;         /* bytes of values, all together */
    int fields;                /* parts without a name count too */
    apr_size_t name;           /* bytes of a name; of a part's header: x 8 */
    const char *spool_dir;
} mg_form_limits_t;

typedef struct mg_form_t mg_form_t;

mg_form_t *mg_form_create(const mg_form_limits_t *limits, apr_pool_t *p);

/** Urlencoded text that is all there, e.g. a query string. */
apr_status_t mg_form_query(mg_form_t *form, const char *query);

/** What comes next, by its content type; *pknown is false for other types.
 * @return MG_EBADINPUT: a multipart without (usable) boundary */
apr_status_t mg_form_begin(mg_form_t *form, const char *content_type,
                           int *pknown);
/** @return MG_EBADINPUT, MG_ELIMIT (mg_form_error() says what), or the
 *          spool's error, e.g. ENOSPC. Feed no more after an error. */
apr_status_t mg_form_feed(mg_form_t *form, const char *data, apr_size_t len);
apr_status_t mg_form_end(mg_form_t *form);
const char *mg_form_error(const mg_form_t *form);

/** Of mg_form_field_t, in order. */
const apr_array_header_t *mg_form_fields(const mg_form_t *form);
/** The first field of that name behind `after` (NULL: of all), or NULL. */
const mg_form_field_t *mg_form_find(const mg_form_t *form, const char *name,
                                    const mg_form_field_t *after);
/** The last value of that name as clean text, or NULL. Not for large ones:
 * what went to a spool file is NULL too. */
const char *mg_form_text(const mg_form_t *form, const char *name,
                         apr_pool_t *p);
/** All bytes; a spool file is mapped. They live as long as p and the form. */
apr_status_t mg_form_bytes(const char **pbytes, apr_size_t *plen,
                           const mg_form_field_t *field, apr_pool_t *p);

#endif
