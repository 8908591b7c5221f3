/* spamc.h - spamd is asked about messages: a client of its SPAMC protocol 1.5.
 *
 *     SYMBOLS SPAMC/1.5            SPAMD/1.1 0 EX_OK
 *     Content-length: 4711         Content-length: 30
 *                                  Spam: True ; 15.1 / 5.0
 *     <the message>
 *                                  GTUBE,SPF_FAIL,DKIM_INVALID
 *
 * On the loop, a connection for each message, MailgunSpamConcurrency at a time;
 * more wait in line. There is no User field: spamd's own user, no files of it.
 * Whatever is wrong the caller is told why, and passes the message: mail does
 * not wait for a filter. After a few failures in a row spamd is left alone for
 * some seconds, so that an outage costs a message no time. An outage is one line
 * in the log, and one when it is over.
 *
 * Source: spamd/PROTOCOL of SpamAssassin; rspamd speaks it too.
 */
#ifndef SPAMC_H
#define SPAMC_H

#include "loop.h"
#include "mg_config.h"

typedef struct spamc_t spamc_t;
typedef struct spamc_check_t spamc_check_t;

#define SPAMC_RULES_MAX 8000     /* octets of their names, with commas */

typedef struct {
    const char *skipped;         /* why nothing else is known; NULL: it is */
    int score;                   /* in thousandths */
    const char *score_text;      /* "15.1", as it was said */
    const char *rules;           /* "GTUBE,SPF_FAIL"; "": none */
} spamc_answer_t;

/** len octets of the message from offset on. */
typedef apr_status_t spamc_content_fn(apr_int64_t offset, char *to,
                                      apr_size_t len, void *baton);
/** Once; not after spamc_forget(). The answer is gone when it returns. */
typedef void spamc_done_fn(const spamc_answer_t *answer, void *baton);

/** MailgunSpamd must be given. Ends with p: nobody is told then. */
apr_status_t spamc_create(spamc_t **pspamc, loop_t *loop,
                          const mg_config_t *config, apr_pool_t *p);
/**
 * Ask about a message. content is called from the loop until done() is called,
 * always from the loop as well, never from here.
 */
spamc_check_t *spamc_ask(spamc_t *spamc, apr_int64_t size,
                         spamc_content_fn *content, spamc_done_fn *done,
                         void *baton);
/** Nobody wants to know any more. */
void spamc_forget(spamc_check_t *check);

/**
 * Read what spamd said so far.
 *
 * @param eof  nothing follows
 * @return APR_SUCCESS; APR_EAGAIN: it is not whole; MG_EBADINPUT: it is no such
 *         answer, or one that it could not do it: answer->skipped says it
 */
apr_status_t spamc_read(spamc_answer_t *answer, const char *bytes,
                        apr_size_t len, int eof, apr_pool_t *p);
/** Is this one of the rules? */
int spamc_has_rule(const spamc_answer_t *answer, const char *rule);

#endif
