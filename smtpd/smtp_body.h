/* smtp_body.h - what follows DATA (RFC 5321 4.1.1.4, 4.5.2) or BDAT (RFC 3030).
 *
 * The end is CRLF.CRLF and nothing else: LF.LF, LF.CRLF, CR.CR and the like
 * are content, and content with a bare CR or LF is refused once the end has
 * come (who smuggles hopes that we and the next server see different ends).
 * Dots are unstuffed. The first MG_CONTENT_INLINE octets stay in memory, what
 * follows goes to a file in the spool folder that has no name, so a crash
 * leaves nothing behind. Whatever is wrong, the input is consumed to its end,
 * so that no line of a message is ever taken as a command.
 *
 * By BDAT the length is known and dots are nothing special; what is refused is
 * the same. A message that does not end with CRLF is given one.
 */
#ifndef SMTP_BODY_H
#define SMTP_BODY_H

#include <apr_file_io.h>
#include <apr_pools.h>

/* The buffers that small messages need, used again. One per worker. */
#define SMTP_BODY_FIRST (16 * 1024)
#define SMTP_BODY_SPARES 64
typedef struct {
    char *buf[SMTP_BODY_SPARES];
    int n;
} smtp_spares_t;
/** They are freed with p, which outlives all bodies. */
void smtp_spares_bind(smtp_spares_t *spares, apr_pool_t *p);

typedef enum {
    BODY_LINE,   /* at the start of a line */
    BODY_DOT,    /* "." at the start of a line */
    BODY_DOT_CR, /* ".\r" at the start of a line */
    BODY_TEXT,   /* within a line */
    BODY_CR,     /* "\r" was seen and not yet passed on */
    BODY_END     /* CRLF.CRLF */
} smtp_body_state_t;

typedef struct {
    smtp_body_state_t state;
    int bare;              /* a CR or LF stood alone */
    int nul;               /* there was a NUL (RFC 5321 2.3.7, RFC 2045 2.8) */
    int too_big;           /* over limit: what came since is dropped */
    apr_status_t failed;   /* the spool file could not be written */
    char *buf;             /* the first octets */
    apr_size_t len, cap;
    apr_file_t *file;      /* what follows them, or NULL */
    apr_int64_t file_size;
    apr_int64_t size;      /* of both, without what smtp_body_put() put */
    apr_int64_t limit;
    const char *spool_dir;
    smtp_spares_t *spares;
    apr_pool_t *pool;
} smtp_body_t;

/** Frees itself with p. */
void smtp_body_init(smtp_body_t *body, apr_int64_t limit,
                    const char *spool_dir, smtp_spares_t *spares,
                    apr_pool_t *p);
/** Ahead of the content, not counted: our trace header. */
void smtp_body_put(smtp_body_t *body, const char *bytes, apr_size_t len);
/** @return how much was taken; less than len only at the end of data */
apr_size_t smtp_body_feed(smtp_body_t *body, const char *in, apr_size_t len);
/** Octets of a chunk; all of them are taken. */
void smtp_body_chunk(smtp_body_t *body, const char *in, apr_size_t len);
/** That was the last chunk: BODY_END. */
void smtp_body_last(smtp_body_t *body);
#endif
