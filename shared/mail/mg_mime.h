/* mg_mime.h - messages built from parts, and read, by GMime 3.
 *
 * GMime must be initialised once per process, by mg_mime_init(): in httpd in
 * child_init, never in the parent.
 */
#ifndef MG_MIME_H
#define MG_MIME_H

#include <apr_file_io.h>
#include <apr_tables.h>
#include "mg_address.h"

void mg_mime_init(void);

typedef struct {
    const char *filename;      /* UTF-8 */
    const char *content_type;  /* NULL: by the file name, else octet-stream */
    const void *bytes;         /* or NULL: then from offset of file */
    apr_size_t len;
    apr_file_t *file;          /* a spooled upload */
    apr_off_t offset;
    int is_inline;             /* Content-ID is the file name (manual) */
} mg_part_t;

typedef struct {
    const mg_address_t *from;
    const char *from_as_given;
    const apr_array_header_t *to, *cc;   /* of mg_address_t *; bcc never shows */
    const char *subject;                 /* UTF-8 or NULL */
    const char *text, *html;             /* UTF-8; at least one */
    apr_size_t text_len, html_len;
    const apr_array_header_t *parts;     /* of mg_part_t * */
    const apr_table_t *headers;          /* h:, added or replacing */
    const char *variables;               /* JSON for X-Mailgun-Variables */
    const char *message_id;              /* without < > */
    const char *sender;                  /* Sender:, or NULL */
    const char *received;                /* a Received: field body, or NULL */
    apr_time_t date;
} mg_compose_t;

/** The finished message, CRLF line ends, at most limit bytes: into memory up
 * to MG_MIME_IN_MEMORY, else into a file in spool_dir (deleted with p). */
#define MG_MIME_IN_MEMORY (256 * 1024)
typedef struct {
    const char *bytes;       /* NULL if it is in file */
    apr_file_t *file;
    apr_int64_t size;
} mg_mime_out_t;
/**
 * Any thread. A Message-Id among headers replaces the one given: the caller
 * who wants to return it looks there first.
 *
 * @return MG_ELIMIT over limit; MG_EBADINPUT: a header's name is not ASCII or
 *         its value breaks the line, *perror says which; else an error of a
 *         part's file or of spool_dir
 */
apr_status_t mg_mime_compose(mg_mime_out_t *out, const mg_compose_t *compose,
                             const char *spool_dir, apr_int64_t limit,
                             const char **perror, apr_pool_t *p);

/* --- reading --- */

typedef struct {
    const char *name, *value;   /* value decoded to UTF-8, unfolded */
    const char *raw;            /* as it stood, unfolded */
} mg_header_t;
/**
 * The header block at the start of bytes (first slice of content is enough).
 * Array of mg_header_t, in order. *pbody_offset may be NULL.
 * Tolerant: a line that is no header ends the block.
 */
apr_status_t mg_mime_headers(apr_array_header_t **pheaders,
                             apr_size_t *pbody_offset, const char *bytes,
                             apr_size_t len, apr_pool_t *p);
/** The first of that name (any case), or NULL. */
const mg_header_t *mg_mime_header(const apr_array_header_t *headers,
                                  const char *name);
/** Does the body of a From or Sender name addresses of that domain alone? Not
 * if it can be read in two ways. */
int mg_mime_is_own(const char *field, const char *domain, apr_pool_t *p);
/** Do From and Sender, as far as they are there? Read as they stand: decoded
 * words may read otherwise than what others see. No, where one is there twice,
 * or there are more fields than are looked at. */
int mg_mime_is_from(const apr_array_header_t *headers, const char *domain,
                    apr_pool_t *p);
/** [["From","a@b"],...] as the manual's message-headers. */
char *mg_mime_headers_json(const apr_array_header_t *headers, apr_pool_t *p);

/**
 * Bring a submitted message (messages.mime, SMTP) into the form we store:
 * CRLF line ends; Date, Message-Id, MIME-Version added where they lack; Bcc
 * and what mg_options_removes_field() names removed; Sender set, unless there
 * is one in the same domain. Works on the header block only.
 * @param pmessage_id  the one there is, or new_message_id
 */
typedef struct {
    const char *new_message_id; /* used if there is none */
    const char *sender;         /* Sender: to set (mg_address_sender()), or
                                 * NULL */
    const char *variables;      /* mg_options_variables(): one
                                 * X-Mailgun-Variables in place of all that are
                                 * JSON objects; NULL: they stay */
    const char *received;       /* a Received: field body to put on top */
    apr_time_t date;
    const apr_table_t *set;     /* h: added or replacing; NULL */
} mg_mime_fix_t;
apr_status_t mg_mime_fix_headers(const char **phead, apr_size_t *phead_len,
                                 const char **pmessage_id,
                                 const char *old_head, apr_size_t old_len,
                                 const mg_mime_fix_t *fix, apr_pool_t *p);
/** CRLF for bare LF or CR; for messages.mime. In place is fine if it fits. */
char *mg_mime_crlf(const char *bytes, apr_size_t len, apr_size_t *pout_len,
                   apr_pool_t *p);

/** Parts as a route's post wants them (manual, "parsed"). */
typedef struct {
    const char *filename, *content_type, *content_id;
    const void *bytes;
    apr_size_t len;
} mg_attachment_t;
typedef struct {
    apr_array_header_t *headers;      /* of mg_header_t */
    const char *from, *subject;       /* decoded */
    const char *body_plain;           /* never NULL; from html if it must be */
    const char *body_html;            /* or NULL */
    apr_table_t *other_texts;         /* "body-<subtype>" -> text */
    apr_array_header_t *attachments;  /* of mg_attachment_t */
    const char *content_id_map;       /* JSON or NULL */
} mg_parsed_t;
/** Depth <= 32, parts <= 1000; what is beyond comes as one raw attachment. */
apr_status_t mg_mime_parse(mg_parsed_t **pparsed, const char *bytes,
                           apr_size_t len, apr_pool_t *p);
/** The same message with its text parts and header fields in UTF-8; other
 * parts byte for byte (manual, "Routes"). Ended by a NUL beyond *pout_len. */
const char *mg_mime_utf8(apr_size_t *pout_len, const char *bytes,
                         apr_size_t len, apr_pool_t *p);
#endif
