/* dns_private.h - what dns.c and dns_channel.c share. */
#ifndef DNS_PRIVATE_H
#define DNS_PRIVATE_H

#include <ares.h>
#include <apr_hash.h>

#include "dns.h"

typedef struct fd_watch_t fd_watch_t;
struct fd_watch_t {
    dns_t *dns;
    int fd;
    loop_watch_t *watch;
    fd_watch_t *next;
};

struct dns_t {
    loop_t *loop;
    apr_pool_t *pool;
    ares_channel channel;
    apr_hash_t *cache;         /* key -> what dns.c knows */
    fd_watch_t *fds, *free_fds;
    loop_timer_t *timer;
    apr_uint64_t random;
    int closing;
};

/** After a query was begun: c-ares may want to be called earlier. */
void dns_set_timer(dns_t *dns);
#endif
