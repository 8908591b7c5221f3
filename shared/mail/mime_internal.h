/* mime_internal.h - what the files of shared/mail share among themselves. */
#ifndef MIME_INTERNAL_H
#define MIME_INTERNAL_H

#include <gmime/gmime.h>
#include "mg_mime.h"

/** Tolerant of raw 8-bit and of wrong charsets. Read-only: any thread. */
GMimeParserOptions *mime_options(void);
/** CRLF; parameters by RFC 2231. Read-only: any thread. */
GMimeFormatOptions *mime_format(void);

/* --- addresses --- */

/** How many labels, 0: no domain by RFC 5321's LDH rule (U-labels pass). */
int mg_address_labels(const char *domain, apr_size_t len);
/** "[192.0.2.1]" or "[IPv6:2001:db8::1]". */
int mg_address_is_literal(const char *domain, apr_size_t len);
/** Dot-string or quoted string of <= 64 octets; quotes that are not needed
 * are taken off. NULL if it is none. */
char *mg_address_local(const char *local, apr_size_t len, int utf8,
                       apr_pool_t *p);

/* --- output --- */

/** Bytes go to memory, and from MG_MIME_IN_MEMORY on to a file in spool_dir
 * (NULL: all stay in memory). limit 0: none. Errors stick: ask at the end. */
typedef struct {
    apr_pool_t *p;
    const char *spool_dir;
    char *buf;
    apr_size_t used, size;
    apr_file_t *file;
    apr_int64_t total, limit;
    apr_status_t rv;
} mime_sink_t;

void mime_sink_init(mime_sink_t *sink, apr_size_t expected,
                    const char *spool_dir, apr_int64_t limit, apr_pool_t *p);
void mime_put(mime_sink_t *sink, const void *bytes, apr_size_t len);
void mime_puts(mime_sink_t *sink, const char *s);
apr_status_t mime_sink_finish(mg_mime_out_t *out, mime_sink_t *sink);

/* --- header fields (RFC 5322, 2047, 2231), folded, with CRLF --- */

/** Unstructured: what is not ASCII becomes encoded words. */
void mime_put_field(mime_sink_t *sink, const char *name, const char *value);
/** Folded, and nothing else. */
void mime_put_field_raw(mime_sink_t *sink, const char *name,
                        const char *value);
/** As it is: the caller knows that it is short and clean. */
void mime_put_plain(mime_sink_t *sink, const char *name, const char *value);
/** Array of mg_address_t *. */
void mime_put_addresses(mime_sink_t *sink, const char *name,
                        const apr_array_header_t *list);
/** A field that may hold addresses or free text, as h: gives it. */
void mime_put_any(mime_sink_t *sink, const char *name, const char *value);
/** JSON: folded between its tokens, all ASCII. */
void mime_put_json(mime_sink_t *sink, const char *name, const char *json);
/** "; name=value", quoted or by RFC 2231, on a line of its own. */
void mime_put_param(mime_sink_t *sink, const char *name, const char *value);

/** Does a Sender that is there name a mailbox in the domain of ours? */
int mime_is_sender_in(const char *given, const char *ours, apr_pool_t *p);
/** Name and value (or NULL) may become a field; else *perror in words. */
int mime_check_header(const char *name, const char *value,
                      const char **perror, apr_pool_t *p);

/* --- bodies --- */

typedef enum { MIME_7BIT, MIME_QP, MIME_BASE64 } mime_encoding_t;
const char *mime_encoding_name(mime_encoding_t encoding);
GMimeContentEncoding mime_encoding_gmime(mime_encoding_t encoding);
/** What a text needs to arrive whole over any SMTP server. */
mime_encoding_t mime_best_encoding(const char *text, apr_size_t len,
                                   int *pascii);
/** Text with any line ends, with CRLF; the last line is ended. */
void mime_put_text(mime_sink_t *sink, const char *text, apr_size_t len,
                   mime_encoding_t encoding);
/** Each octet as it is; 7bit takes none that needs more. At its end a message's
 * own body (is_last) gets the line end that mail needs. */
void mime_put_octets(mime_sink_t *sink, const char *bytes, apr_size_t len,
                     mime_encoding_t encoding, int is_last);
/** One unbroken run; out has room for 4 octets for each 3, and a NUL. */
int mime_base64(char *out, const void *bytes, apr_size_t len);

/** The sink outlives the stream. */
GMimeStream *mime_stream_to_sink(mime_sink_t *sink);
/** Not copied: bytes live as long as p, and p longer than the stream. */
GMimeStream *mime_stream_of_bytes(const void *bytes, apr_size_t len,
                                  apr_pool_t *p);
/** len octets from offset on; the file stays the caller's. NULL: it is none
 * of the system's. */
GMimeStream *mime_stream_of_file(apr_file_t *file, apr_off_t offset,
                                 apr_size_t len);

/* --- reading --- */

/** One part: what its header says, and where its body lies. */
typedef struct {
    apr_array_header_t *headers;
    const char *head, *body;
    apr_size_t body_len;
    const char *type, *subtype;     /* lower case, never NULL */
    const char *boundary, *charset, *filename, *content_id; /* or NULL */
    int is_attachment;
    GMimeContentEncoding encoding;
} mime_entity_t;

void mime_entity_read(mime_entity_t *e, const char *bytes, apr_size_t len,
                      const char *default_type, apr_pool_t *p);
const void *mime_entity_decode(apr_size_t *plen, const mime_entity_t *e,
                               apr_pool_t *p);
/** A file within a text. */
typedef struct {
    const char *name, *bytes;
    apr_size_t len;
} mime_uufile_t;
/** The text without the files that are uuencoded in it, which are added to
 * files (of mime_uufile_t). What only looks like one stays text. */
const char *mime_uudecode(apr_size_t *plen, apr_array_header_t *files,
                          const char *text, apr_size_t len, apr_pool_t *p);
/** A message, or the header of one, whatever it is called. */
int mime_entity_is_message(const mime_entity_t *e);
/** start: where the multipart's body begins. */
const char *mime_find_boundary(const char *s, const char *end,
                               const char *start, const char *boundary,
                               const char **pnext, int *pclose);
/** Valid UTF-8 without NUL, whatever it was. */
const char *mime_to_utf8(const char *charset, const char *bytes,
                         apr_size_t len, apr_pool_t *p);
/** The other way, all of it or NULL: charset lacks a character, or it is none
 * that stands for text among ASCII (UTF-16 ...). */
char *mime_from_utf8(const char *charset, const char *text, apr_size_t len,
                     apr_size_t *plen, apr_pool_t *p);
/** NULL, us-ascii or utf-8: nothing has to be converted. */
int mime_is_utf8_name(const char *charset);
/** A text part's Content-Type as it was (raw), but in UTF-8. */
void mime_put_utf8_type(mime_sink_t *sink, const char *name, const char *raw);
/** A field's text with its encoded words read; raw 8-bit text is guessed. */
const char *mime_decode_words(const char *raw, apr_pool_t *p);
/** Words that stand next to each other become one: for GMime. */
const char *mime_merge_words(const char *raw, apr_pool_t *p);
char *mime_html_to_text(const char *html, apr_pool_t *p);

#endif
