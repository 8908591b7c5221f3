/* auth_client.h - how a receiver asks whether a password is right.
 *
 * bcrypt takes 50 ms, so it is never done in a receiver's loop: questions go
 * over a socketpair to the auth workers (design 6), answers come back in any
 * order.
 */
#ifndef AUTH_CLIENT_H
#define AUTH_CLIENT_H

#include "worker.h"

typedef enum { AUTH_OK, AUTH_WRONG, AUTH_UNAVAILABLE } auth_verdict_t;
typedef struct {
    auth_verdict_t verdict;
    apr_int64_t account_id, domain_id;
    apr_int64_t mailbox_id;      /* 0: a credential without a mailbox */
} auth_answer_t;
typedef struct auth_client_t auth_client_t;
typedef void auth_answer_fn(const auth_answer_t *answer, void *baton);

apr_status_t auth_client_create(auth_client_t **pclient, worker_t *worker);
/** @return a ticket for auth_client_forget(), when the session dies first */
apr_uint32_t auth_client_ask(auth_client_t *client, const char *login,
                             const char *password, const char *remote_ip,
                             auth_answer_fn *fn, void *baton);
void auth_client_forget(auth_client_t *client, apr_uint32_t ticket);
#endif
