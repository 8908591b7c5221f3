/* unit_mx.h - a small MX, or LMTP server, in the same process.
 *
 * It says what local parts ask for: "defer", "full" and "bounce" at the head of
 * one are refused at RCPT, "spam" when all was said; anybody else's mail is
 * taken. Its envelopes and contents are kept, to be looked at.
 */
#ifndef UNIT_MX_H
#define UNIT_MX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "conn.h"

typedef struct unit_mx_t unit_mx_t;
typedef struct {
    unit_mx_t *mx;
    conn_t *conn;
    apr_pool_t *p;
    int in_data, rcpts, counted;
    char envelope[4000];
    char *content;
    apr_size_t len, size;
} unit_mx_session_t;

struct unit_mx_t {
    apr_pool_t *p;
    loop_t *loop;
    conn_listener_t *listener;
    int fd, port;
    int is_lmtp, hang_up_after_message, hold_the_answer;
    int broken_tls, rcpt_limit, dsn;
    const char *busy;          /* the greeting then, or NULL */
    const char *refusal;       /* of MAIL, or NULL */
    int sessions, messages;
    int limit, open, refused;  /* connections at a time; 0: any number */
    unit_mx_session_t *held;   /* waits for its answer */
    char seen[60][4000];       /* envelopes */
    char *contents[60];
    apr_size_t lens[60];
};

/** It listens at ip (of the host's byte order); port 0: any. */
unit_mx_t *unit_mx_start(loop_t *loop, unsigned int ip, int port,
                         apr_pool_t *p);

#endif
