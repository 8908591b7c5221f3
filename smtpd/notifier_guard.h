/* notifier_guard.h - which addresses a URL from outside may reach. */
#ifndef NOTIFIER_GUARD_H
#define NOTIFIER_GUARD_H

#include <apr_tables.h>
#include <sys/socket.h>

typedef struct notifier_guard_t notifier_guard_t;

/** @param allow  of char *: networks that may be reached all the same */
notifier_guard_t *notifier_guard_create(const apr_array_header_t *allow,
                                        apr_pool_t *p);
/** NULL if this address may be connected to; else what it is. */
const char *notifier_guard_refuses(const notifier_guard_t *guard,
                                   const struct sockaddr *address);

#endif
