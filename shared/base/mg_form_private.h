/* mg_form_private.h - shared by mg_form.c and mg_form_multipart.c only. */
#ifndef MG_FORM_PRIVATE_H
#define MG_FORM_PRIVATE_H

#include "mg_form.h"

typedef struct {
    char *name;                /* as far as it came, decoded */
    apr_size_t name_len;
    int in_value;
    char escape[3];            /* "%", "%4" */
    apr_size_t escape_len;
} mg_form_url_t;

typedef enum {
    PART_NONE,                 /* before the first delimiter */
    PART_HEADER,
    PART_BODY,
    PART_END                   /* behind the last delimiter */
} mg_form_part_state_t;

#define MG_FORM_BOUNDARY_MAX 200
#define MG_FORM_TAIL_MAX 80    /* padding behind a delimiter */

typedef struct {
    mg_form_part_state_t state;
    char delimiter[4 + MG_FORM_BOUNDARY_MAX + 1]; /* CRLF--boundary */
    apr_size_t delimiter_len;
    apr_size_t matched;        /* bytes of the delimiter seen */
    char tail[MG_FORM_TAIL_MAX]; /* what follows a whole delimiter */
    apr_size_t tail_len;
    char *header;              /* of this part, as far as it came */
    apr_size_t header_len, header_max;
    int skip;                  /* a part without a name */
    int parts;
} mg_form_multipart_t;

struct mg_form_t {
    apr_pool_t *pool;
    mg_form_limits_t limits;
    apr_array_header_t *fields;
    const char *error;
    enum { MG_FORM_OTHER, MG_FORM_URL, MG_FORM_MULTIPART,
           MG_FORM_JSON } kind;

    /* the field that is being read */
    mg_form_field_t field;
    char *buf;                 /* malloc: it grows; at most limits.memory */
    apr_size_t buf_len, buf_size;
    int is_spooled;            /* it goes to the spool file */
    apr_file_t *spool;         /* NULL: none yet */
    apr_off_t spool_end;
    apr_int64_t total;
    apr_size_t memory_used;

    mg_form_url_t url;
    mg_form_multipart_t multipart;
};

apr_status_t mg_form_fail(mg_form_t *form, apr_status_t rv, const char *why);
void mg_form_open_field(mg_form_t *form, const char *name, apr_size_t len);
apr_status_t mg_form_put(mg_form_t *form, const char *data, apr_size_t len);
apr_status_t mg_form_close_field(mg_form_t *form);

apr_status_t mg_form_multipart_begin(mg_form_t *form,
                                     const char *content_type);
apr_status_t mg_form_multipart_feed(mg_form_t *form, const char *data,
                                    apr_size_t len);
apr_status_t mg_form_multipart_end(mg_form_t *form);

#endif
