/* sender_copy.h - what a transaction's recipients get: our header lines, the
 * signature, the message's header block, its body.
 *
 * A shared copy is the same for all recipients of a message: it names none of
 * them, neither in X-Mailgun-Sid nor in the VERP sender, so one transaction
 * takes many RCPTs and one signature does for all. Where a message is a
 * template, or batch, each recipient has a copy of its own.
 *
 * A copy is read in parts, and may be read several times: before its content
 * goes out it is signed (sender_sign.h), which reads it from SENDER_COPY_HEAD
 * on.
 */
#ifndef SENDER_COPY_H
#define SENDER_COPY_H

#include "mg_render.h"

struct sender_t;
struct sender_group_t;
struct sender_message_t;
struct sender_entry_t;
struct sender_signing_t;

typedef struct {
    struct sender_t *sender;
    struct sender_message_t *message;
    apr_pool_t *pool, *slice_pool;
    mg_render_for_t who;         /* delivery NULL: a shared one */
    const char *top;             /* X-Mailgun-Sid and the like, CRLF */
    const char *signature;       /* DKIM-Signature fields, CRLF; "" */
    struct sender_signing_t *signing; /* there will be some; or NULL */
    apr_array_header_t *pieces;  /* of mg_render_piece_t: header block, body */
    apr_int64_t size;            /* of all that is sent, about */
    int eight_bit;               /* there may be octets above 127 */
    apr_size_t room;             /* of sender_t.copy_bytes */
    /* where it is read: -2 signature, -1 top, 0.. pieces */
    int piece;
    apr_int64_t at;              /* octets of that piece */
} sender_copy_t;

/** Do all its recipients get the same? Asked once the message is read. */
int sender_copy_is_shared(const struct sender_message_t *message);

/**
 * The copy for this recipient, or the shared one.
 * @return an error of the store; MG_EBUSY: later, this turn or all memory is full;
 *         MG_EBADINPUT, MG_ELIMIT: it cannot be rendered, ever
 */
apr_status_t sender_copy_make(sender_copy_t **pcopy, struct sender_t *s,
                              struct sender_entry_t *entry, apr_pool_t *p);

typedef enum { SENDER_COPY_ALL, SENDER_COPY_HEAD } sender_copy_from_t;
/** The next read begins there. */
void sender_copy_rewind(sender_copy_t *copy, sender_copy_from_t from);
/** The next part, up to MG_CONTENT_SLICE octets, valid until the next call.
 * @return APR_EOF after the last; APR_EAGAIN: it is still being signed, ask in
 *         the loop's next turn */
apr_status_t sender_copy_read(const char **pbytes, apr_size_t *plen,
                              sender_copy_t *copy);
/** The same, signed or not: for who signs it. */
apr_status_t sender_copy_next(const char **pbytes, apr_size_t *plen,
                              sender_copy_t *copy);
#endif
