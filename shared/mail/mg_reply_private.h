/* mg_reply_private.h - between the files of reply stripping. */
#ifndef MG_REPLY_PRIVATE_H
#define MG_REPLY_PRIVATE_H

#include "mg_reply.h"

/* A stretch of the text, not ended by NUL. */
typedef struct {
    const char *s;
    apr_size_t len;
} reply_span_t;

/* --- what lines say, in all languages we know (mg_reply_words.c) --- */

typedef enum {
    REPLY_VERB,        /* "wrote", somewhere */
    REPLY_START,       /* begins as "On" does */
    REPLY_DATE,        /* a time of day, or a year */
    REPLY_ADDRESS,     /* a@b */
    REPLY_ORIGINAL,    /* "-----Original Message-----" */
    REPLY_FORWARD,     /* "---------- Forwarded message ----------" */
    REPLY_FROM,        /* "From: ..." */
    REPLY_FIELD,       /* "Sent: ...", "To: ...", "Subject: ..." */
    REPLY_DEVICE,      /* "Sent from my iPhone" */
    REPLY_CLOSING,     /* "Best regards," */
    REPLY_CONTACT,     /* a phone number, an address */
    REPLY_WORDS
} reply_words_t;

int reply_says(reply_words_t what, reply_span_t span);

/* Ends with a colon, of any width; blanks behind it do not count. */
int reply_ends_with_colon(reply_span_t span);
/* Does it say who wrote when? weak: without a date or an address. */
typedef enum { REPLY_NOT, REPLY_WEAK, REPLY_STRONG } reply_strength_t;
reply_strength_t reply_attribution(reply_span_t span);

reply_span_t reply_trim(reply_span_t span);

/* --- lines (mg_reply_text.c) --- */

typedef struct {
    reply_span_t text;       /* trimmed */
    reply_span_t all;        /* as it stands, with its line end */
} reply_line_t;

/* The signature among lines first..end-1 of what was not quoted: the line it
 * begins with, or end (mg_reply_signature.c). */
int reply_signature(const reply_line_t *lines, int first, int end,
                    const char *from);

#endif
