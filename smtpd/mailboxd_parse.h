/* mailboxd_parse.h - requests of mailboxd_protocol.h, as structs. */
#ifndef MAILBOXD_PARSE_H
#define MAILBOXD_PARSE_H

#include <sys/types.h>

#include <apr.h>

#include "mailboxd_protocol.h"

typedef enum {
    MAILBOXD_LIMITS, MAILBOXD_RESERVE, MAILBOXD_SETTLE, MAILBOXD_RELEASE,
    MAILBOXD_RECOUNT, MAILBOXD_SEEN, MAILBOXD_SAVE, MAILBOXD_WATCH,
    MAILBOXD_UNWATCH, MAILBOXD_PING
} mailboxd_verb_t;

typedef struct {
    char tag[MAILBOXD_TAG_MAX + 1];  /* "" if not even that is right */
    mailboxd_verb_t verb;
    int is_change;                   /* it writes */
    apr_int64_t mailbox_id, reservation, bytes, messages, newest;
    apr_int64_t delivery_id;         /* 0: none */
    apr_int64_t revision;            /* as the login found it; 0: any */
    char owner[MAILBOXD_OWNER_MAX + 1];
} mailboxd_request_t;

/** One line without its LF, NUL-terminated; it is changed.
 * @return NULL, or what is wrong with it, in words */
const char *mailboxd_parse(mailboxd_request_t *request, char *line);

/** "123:45678", or "node:123:45678" as stored. @return false: neither */
int mailboxd_owner_parse(pid_t *ppid, apr_uint64_t *pstart,
                         const char **pnode, apr_size_t *pnode_len,
                         const char *owner);
/** Is there a process with this pid that began then (0: whenever)? */
int mailboxd_owner_alive(pid_t pid, apr_uint64_t start);

#endif
