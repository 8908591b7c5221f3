/* mg_status.h - what can go wrong, as apr_status_t.
 *
 * Everything in shared/ returns apr_status_t. APR's own codes keep their
 * meaning (APR_SUCCESS, APR_ENOENT, APR_EEXIST, APR_EOF: no more rows). What
 * APR has no word for stands here. mg_strerror() knows both.
 */
#ifndef MG_STATUS_H
#define MG_STATUS_H

#include <apr_errno.h>

#define MG_START_STATUS (APR_OS_START_USERERR + 7000)

/* The store's error classes (design 1). */
#define MG_EBUSY (MG_START_STATUS + 1)    /* locked or serialisation; retry */
#define MG_ECONFLICT (MG_START_STATUS + 2) /* a constraint said no */
#define MG_EFULL (MG_START_STATUS + 3)    /* disk or table space is full */
#define MG_EIO (MG_START_STATUS + 4)      /* the disk failed */
#define MG_ELOST (MG_START_STATUS + 5)    /* connection lost; COMMIT unknown */
#define MG_ESCHEMA (MG_START_STATUS + 6)  /* store older or newer than we */
#define MG_ESQL (MG_START_STATUS + 7)     /* our mistake in a statement */

/* Mail and queue. */
#define MG_EADDRESS (MG_START_STATUS + 20) /* no RFC 5321/5322 address */
#define MG_ELEASE (MG_START_STATUS + 21)   /* claim was lost to another */
#define MG_EEXPIRED (MG_START_STATUS + 22) /* past its last day */
#define MG_ELIMIT (MG_START_STATUS + 23)   /* over a limit of ours */
#define MG_EQUOTA (MG_START_STATUS + 24)   /* mailbox or domain is full */
#define MG_EDENIED (MG_START_STATUS + 25)  /* not allowed to */
#define MG_EBADINPUT (MG_START_STATUS + 26) /* malformed, from outside */
#define MG_ECRYPT (MG_START_STATUS + 27)   /* seal broken or wrong secret */
#define MG_ECONFIG (MG_START_STATUS + 28)  /* configuration is wrong */
#define MG_ETLS (MG_START_STATUS + 29)     /* TLS handshake or record failed */

/** The words for a status, ours or APR's. buf is filled and returned. */
const char *mg_strerror(apr_status_t rv, char *buf, apr_size_t len);

/** True for the errors after which the same call may succeed later. */
int mg_is_temporary(apr_status_t rv);

#endif
