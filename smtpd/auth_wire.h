/* auth_wire.h - the datagrams between receivers and auth workers.
 *
 * SOCK_SEQPACKET, one question or answer each. A question goes to whichever
 * auth worker reads first; the answer comes back over the same pair. Both ends
 * are held open by the master, so that neither side sees the other die: a
 * question without an answer in AUTH_PATIENCE is answered AUTH_UNAVAILABLE by
 * the client. A pair is used again by later receivers: the nonce says whose
 * answer it is.
 */
#ifndef AUTH_WIRE_H
#define AUTH_WIRE_H

#include <apr.h>

#define AUTH_PATIENCE apr_time_from_sec(20)
#define AUTH_LOGIN_MAX 320     /* 64 + @ + 255 (RFC 5321 4.5.3.1) */
#define AUTH_PASSWORD_MAX 256
#define AUTH_IP_MAX 64

typedef struct {
    apr_uint64_t nonce;
    apr_uint32_t ticket;
    apr_uint32_t reserved;
    apr_int64_t asked_at;      /* mg_ticks(): nobody waits for old ones */
    char login[AUTH_LOGIN_MAX];
    char password[AUTH_PASSWORD_MAX];
    char ip[AUTH_IP_MAX];
} auth_question_t;

typedef struct {
    apr_uint64_t nonce;
    apr_uint32_t ticket;
    apr_uint32_t verdict;      /* auth_verdict_t */
    apr_int64_t account_id, domain_id, mailbox_id;
} auth_answer_wire_t;

#endif
