/* dns_channel.c - c-ares on the worker's loop: its sockets are watches, its
 * time-outs one timer. */
#include <apr_hash.h>
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>

#include "dns_private.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"

int dns_timeout_ms = 3000, dns_tries = 3;

static void on_fd(loop_t *loop, int fd, int events, void *baton)
{
    dns_t *dns = baton;
    int in = events & (LOOP_READ | LOOP_HANGUP), out = events & LOOP_WRITE;

    (void)loop;
    ares_process_fd(dns->channel, in ? fd : ARES_SOCKET_BAD,
                    out ? fd : ARES_SOCKET_BAD);
    dns_set_timer(dns);
}

static void on_timer(loop_t *loop, void *baton)
{
    dns_t *dns = baton;

    (void)loop;
    dns->timer = NULL;
    ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    dns_set_timer(dns);
}

void dns_set_timer(dns_t *dns)
{
    struct timeval buf, *tv = ares_timeout(dns->channel, NULL, &buf);

    if (dns->timer)
        loop_timer_cancel(dns->timer);
    dns->timer = NULL;
    if (tv)
        dns->timer = loop_timer_set(dns->loop,
                                    apr_time_make(tv->tv_sec, tv->tv_usec)
                                        + 1000,
                                    on_timer, dns);
}

/* c-ares opens, wants and closes its sockets by this. */
static void on_sock_state(void *baton, ares_socket_t fd, int readable,
                          int writable)
{
    dns_t *dns = baton;
    int events = (readable ? LOOP_READ : 0) | (writable ? LOOP_WRITE : 0);
    fd_watch_t **link = &dns->fds, *w;

    while (*link && (*link)->fd != fd)
        link = &(*link)->next;
    w = *link;
    if (w && events == 0) {
        loop_unwatch(w->watch);
        *link = w->next;
        w->next = dns->free_fds;
        dns->free_fds = w;
    }
    else if (w)
        loop_watch_set(w->watch, events);
    else if (events) {
        w = dns->free_fds;
        if (w)
            dns->free_fds = w->next;
        else
            w = apr_palloc(dns->pool, sizeof(*w));
        w->fd = fd;
        if (loop_watch(&w->watch, dns->loop, fd, events, on_fd, dns)
            != APR_SUCCESS) {
            w->next = dns->free_fds;
            dns->free_fds = w;
            return;
        }
        w->next = dns->fds;
        dns->fds = w;
    }
}

static apr_status_t dns_close(void *baton)
{
    dns_t *dns = baton;

    dns->closing = 1;
    if (dns->timer)
        loop_timer_cancel(dns->timer);
    dns->timer = NULL;
    dns_queries_stop(dns);
    ares_destroy(dns->channel);
    return APR_SUCCESS;
}

static apr_status_t set_resolvers(dns_t *dns,
                                  const apr_array_header_t *resolvers,
                                  apr_pool_t *p)
{
    char *csv = apr_array_pstrcat(p, resolvers, ',');
    int status = ares_set_servers_ports_csv(dns->channel, csv);

    if (status == ARES_SUCCESS)
        return APR_SUCCESS;
    mg_log(MG_LOG_ERR, APR_SUCCESS, "MailgunResolver: '%s': %s; try 127.0.0.1"
           " or 127.0.0.1:5353", csv, ares_strerror(status));
    return MG_ECONFIG;
}

static int is_loopback(const struct ares_addr_port_node *server)
{
    static const unsigned char one[16] = { [15] = 1 };

    if (server->family == AF_INET)
        return ntohl(server->addr.addr4.s_addr) >> 24 == 127;
    return memcmp(&server->addr.addr6, one, sizeof(one)) == 0;
}

static int is_trusted(const dns_t *dns, dns_trust_t trust)
{
    struct ares_addr_port_node *servers, *server;
    int all;

    if (trust != DNS_TRUST_LOCAL)
        return trust == DNS_TRUST_ALWAYS;
    if (ares_get_servers_ports(dns->channel, &servers) != ARES_SUCCESS)
        return 0;
    all = servers != NULL;
    for (server = servers; server; server = server->next)
        all &= is_loopback(server);
    ares_free_data(servers);
    return all;
}

apr_status_t dns_create(dns_t **pdns, loop_t *loop,
                        const apr_array_header_t *resolvers,
                        dns_trust_t trust, apr_pool_t *p)
{
    struct ares_options options;
    dns_t *dns = apr_pcalloc(p, sizeof(*dns));
    int status;

    *pdns = NULL;
    memset(&options, 0, sizeof(options));
    options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_EDNS;
    options.timeout = dns_timeout_ms;
    options.tries = dns_tries;
    options.ednspsz = 1232; /* no fragments */
    options.sock_state_cb = on_sock_state;
    options.sock_state_cb_data = dns;
    status = ares_library_init(ARES_LIB_INIT_ALL);
    if (status == ARES_SUCCESS)
        status = ares_init_options(&dns->channel, &options,
                                   ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS
                                       | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ
                                       | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        mg_log(MG_LOG_ERR, APR_SUCCESS, "c-ares: %s", ares_strerror(status));
        return APR_EGENERAL;
    }
    dns->loop = loop;
    dns->pool = p;
    dns->cache = apr_hash_make(p);
    dns->line_end = &dns->line;
    dns->random = (apr_uint64_t)mg_ticks() * 2654435761u + 1;
    apr_pool_pre_cleanup_register(p, dns, dns_close);
    if (resolvers && resolvers->nelts > 0
        && set_resolvers(dns, resolvers, p) != APR_SUCCESS)
        return MG_ECONFIG;
    dns->trusted = is_trusted(dns, trust);
    *pdns = dns;
    return APR_SUCCESS;
}
