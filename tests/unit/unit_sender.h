/* unit_sender.h - a sender role in this process, on a real store, between an MX
 * and an LMTP server that are in it, too.
 *
 * One thread: waiting turns the sender's loop, and theirs. The store has an
 * account, its domain a.test and a mailbox Bob@a.test. Mail for all domains
 * goes to the MX, for down.test to where nobody listens; what was deferred
 * comes again after 300 ms.
 */
#ifndef UNIT_SENDER_H
#define UNIT_SENDER_H

#include "mta_site_private.h"
#include "sender.h"
#include "unit_mx.h"
#include "unit_records.h"

typedef struct {
    unit_store_t *store;
    mg_db_t *look;             /* a second connection */
    worker_t worker;
    mg_config_t config;
    unit_mx_t *mx, *lmtp;
    apr_int64_t account_id, domain_id, mailbox_id;
    const char *options;       /* of messages that are accepted, or NULL */
    const char *variables;     /* of their recipients, or NULL */
    sender_t *s;
    const char *method, *sender, *payload; /* of mail; NULL */
} unit_sender_t;

/** Of a test's state; the sender was started. */
unit_sender_t *unit_sender(void **state);
/** Another sender in its place, which knows what the store does. */
void unit_sender_begin(unit_sender_t *b);
/** Mail for this domain goes to this port of 127.0.0.1. */
void unit_sender_transport(unit_sender_t *b, const char *domain, int port);

/** @param recipients  "x@d,y@d"; those in a.test are the mailbox
 * @return the message's id */
apr_int64_t unit_sender_accept(unit_sender_t *b, const char *recipients,
                               const char *content, apr_size_t len);
/** The same, with a small content of no matter. */
apr_int64_t unit_mail_to(unit_sender_t *b, const char *recipients);

/** @param where  "event WHERE kind = 'failed'" */
apr_int64_t unit_rows(unit_sender_t *b, const char *where);
/** Turn for so many milliseconds. */
void unit_turn(unit_sender_t *b, int ms);
/** Turn until so many rows are there; fails the test when they are not. */
void unit_await(unit_sender_t *b, const char *where, apr_int64_t n);
/** The first column of the first row, "(none)", "(null)". */
const char *unit_text(unit_sender_t *b, const char *sql);

/** That of x.test. */
mta_site_t *unit_site_of_x(unit_sender_t *b);
/** It opens no connection, until it may go on with so many. */
void unit_site_stop(unit_sender_t *b, mta_site_t **psite);
void unit_site_go_on(mta_site_t *site, int window);

#endif
