/* mta_reply.h - what a remote server answered (RFC 5321 4.2, RFC 2034).
 *
 * Lines are added one by one until the reply is whole. Servers say anything:
 * a reply has a limit of lines and of text, control characters become spaces.
 * The text that is kept reads as one line, "451 4.7.1 try again later", with
 * code and enhanced code once and the words of all lines behind.
 */
#ifndef MTA_REPLY_H
#define MTA_REPLY_H

#include <apr_errno.h>
#include <apr_time.h>

#define MTA_REPLY_LINE 4096  /* octets a line may have; RFC: 512 */
#define MTA_REPLY_LINES 200  /* lines a reply may have */
#define MTA_REPLY_TEXT 1000  /* octets of words that are kept */

typedef struct {
    int code;                /* 0: nothing yet */
    int lines;
    char enhanced[12];       /* "4.7.1" or "" */
    apr_size_t len;
    char text[MTA_REPLY_TEXT + 1];
} mta_reply_t;

enum { MTA_GOOD = 2, MTA_GO_ON = 3, MTA_TEMPORARY = 4, MTA_PERMANENT = 5 };

void mta_reply_clear(mta_reply_t *reply);
/**
 * One line, without its line end.
 *
 * @param pwords  NULL, or where the words of this line begin (EHLO keywords)
 * @return APR_SUCCESS: the reply is whole; APR_INCOMPLETE: more lines follow;
 *         MG_EBADINPUT: no reply at all; MG_ELIMIT: too much of it
 */
apr_status_t mta_reply_add(mta_reply_t *reply, const char *line,
                           apr_size_t len, const char **pwords);
/** Words of our own where no server answered: fmt begins with the code. */
void mta_reply_set(mta_reply_t *reply, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/** How long a reply's words ask us to wait, "try again in 5 minutes", within a
 * second and MTA_REPLY_WAIT_MAX; 0: they do not say. */
apr_interval_time_t mta_reply_wait(const char *text);
#define MTA_REPLY_WAIT_MAX apr_time_from_sec(4 * 3600)
/** MTA_GOOD ... MTA_PERMANENT, by the first digit. */
int mta_reply_class(const mta_reply_t *reply);

#endif
