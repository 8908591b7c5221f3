/* smtp_refused.h - who was refused at the door is in his domain's log.
 *
 * A recipient whom a domain of ours does not have, and a message for one that
 * was no good, is an event "refused" of that domain; there is no message of it
 * in the store. Nobody waits for such events: they are gathered and written
 * with the next commit, after SMTP_REFUSED_WAIT at most where there is none.
 * An outage of the store loses them.
 *
 * Guessers of addresses shall not fill the store: of a domain, and of all,
 * only so many are kept in a minute. The rest is in our own log.
 */
#ifndef SMTP_REFUSED_H
#define SMTP_REFUSED_H

#include "mg_group.h"
#include "smtp_reply.h"
#include "worker.h"

struct smtp_session_t;

#define SMTP_REFUSED_WAIT apr_time_from_sec(1)
#define SMTP_REFUSED_A_MINUTE 60        /* of a domain */
#define SMTP_REFUSED_A_MINUTE_IN_ALL 1000

typedef struct smtp_refused_t smtp_refused_t;
smtp_refused_t *smtp_refused_create(worker_t *worker, apr_pool_t *p);

/** Its RCPT was refused. @param domain_id  0: it is no domain of ours */
void smtp_refused_recipient(struct smtp_session_t *s, apr_int64_t account_id,
                            apr_int64_t domain_id, const char *recipient,
                            smtp_reply_t reply);
/** The message was refused that the session's transaction has; only for good
 * (5xx) counts, and only what came in. */
void smtp_refused_message(struct smtp_session_t *s, smtp_reply_t reply);

/* --- receiver_commit.c --- */
int smtp_refused_is_any(const smtp_refused_t *refused);
/** They have waited long enough for company. */
int smtp_refused_is_due(const smtp_refused_t *refused);
/** All that was gathered; NULL: nothing. The committer's until done. */
mg_unit_t *smtp_refused_unit(smtp_refused_t *refused);
void smtp_refused_done(smtp_refused_t *refused);

#endif
