/* sender_sign.h - DKIM signatures and ARC sets of copies.
 *
 * Outgoing mail that goes out by SMTP is signed with the keys of the domain it
 * is sent from. What came in and is forwarded is not ours to sign: it gets an
 * ARC set of the domain whose route forwards it (mg_arc.h). A shared
 * copy is signed once: its fields stay with the message in memory, and come
 * out the same if they are made again.
 *
 * A copy is signed when its content is asked for, behind the receiver's 354:
 * who is refused costs no signature. That takes steps, each of which may say
 * that it has not finished.
 */
#ifndef SENDER_SIGN_H
#define SENDER_SIGN_H

#include "sender_copy.h"

struct sender_t;

typedef struct sender_signing_t sender_signing_t;
typedef struct sender_signers_t sender_signers_t;

/** The keys that were opened, for domains that send. */
sender_signers_t *sender_signers_create(struct sender_t *s, apr_pool_t *p);
/** At the end of each turn of the loop: the next one may sign again. */
void sender_signers_turn(sender_signers_t *signers);

/**
 * Is this copy to be signed? Sets copy->signing if so, or copy->signature if
 * its message has one.
 * @return an error of the store
 */
apr_status_t sender_sign_begin(sender_copy_t *copy);
/** About how much longer the copy gets, in octets. */
apr_int64_t sender_sign_room(const sender_copy_t *copy);
/**
 * Go on with copy->signing. When it is done copy->signature is set, to ""
 * where it could not be, and the copy is rewound.
 * @return APR_EAGAIN: not yet, ask in the next turn; an error of the store
 */
apr_status_t sender_sign_step(sender_copy_t *copy);

#endif
