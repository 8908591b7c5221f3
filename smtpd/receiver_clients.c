/* receiver_clients.c - how many sessions an address has; how full the disk is.
 *
 * An IPv6 client is its /64: who has one has 2^64 addresses.
 */
#include <netinet/in.h>
#include <string.h>
#include <sys/statvfs.h>

#include <apr_strings.h>

#include "mg_log.h"
#include "mg_time.h"
#include "smtp_session.h"

#define BUCKETS 1024

struct smtp_client_t {
    smtp_client_t *next;
    unsigned char key[9];   /* family, then 4 or 8 octets */
    int sessions;
};

static void make_key(unsigned char key[9], const struct sockaddr *addr)
{
    const struct sockaddr_in *in = (const void *)addr;
    const struct sockaddr_in6 *in6 = (const void *)addr;

    memset(key, 0, 9);
    if (addr->sa_family == AF_INET) {
        key[0] = 4;
        memcpy(key + 1, &in->sin_addr, 4);
    }
    else if (addr->sa_family == AF_INET6
             && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        key[0] = 4;
        memcpy(key + 1, in6->sin6_addr.s6_addr + 12, 4);
    }
    else if (addr->sa_family == AF_INET6) {
        key[0] = 6;
        memcpy(key + 1, &in6->sin6_addr, 8);
    }
}

static unsigned int bucket_of(const unsigned char key[9])
{
    unsigned int h = 2166136261u; /* FNV-1a */
    int i;

    for (i = 0; i < 9; i++)
        h = (h ^ key[i]) * 16777619u;
    return h % BUCKETS;
}

smtp_client_t *smtp_client_enter(smtp_server_t *server,
                                 const struct sockaddr *addr)
{
    unsigned char key[9];
    smtp_client_t **bucket, *c;

    if (server->clients == NULL)
        server->clients = apr_pcalloc(server->pool,
                                      BUCKETS * sizeof(*server->clients));
    make_key(key, addr);
    bucket = &server->clients[bucket_of(key)];
    for (c = *bucket; c != NULL && memcmp(c->key, key, 9) != 0; c = c->next)
        ;
    if (c == NULL) {
        c = server->free_clients;
        if (c != NULL)
            server->free_clients = c->next;
        else
            c = apr_palloc(server->pool, sizeof(*c));
        memcpy(c->key, key, 9);
        c->sessions = 0;
        c->next = *bucket;
        *bucket = c;
    }
    if (c->sessions >= server->worker->config->client_limit)
        return NULL;
    c->sessions++;
    return c;
}

const char *smtp_client_name(const smtp_client_t *client, apr_pool_t *p)
{
    const unsigned char *k = client->key;

    return apr_psprintf(p, "%d %02x%02x%02x%02x%02x%02x%02x%02x", k[0], k[1],
                        k[2], k[3], k[4], k[5], k[6], k[7], k[8]);
}

void smtp_client_leave(smtp_server_t *server, smtp_client_t *client)
{
    smtp_client_t **link;

    if (client == NULL || --client->sessions > 0)
        return;
    link = &server->clients[bucket_of(client->key)];
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    client->next = server->free_clients;
    server->free_clients = client;
}

/* --- space --- */

static int is_low(const char *path, apr_int64_t min_free)
{
    struct statvfs fs;

    if (path == NULL || statvfs(path, &fs) != 0)
        return 0; /* writing will tell */
    return (apr_int64_t)fs.f_bavail * (apr_int64_t)fs.f_frsize < min_free;
}

int smtp_space_is_low(smtp_server_t *server)
{
    const mg_config_t *config = server->worker->config;
    apr_time_t now;
    int was = server->space_low;

    if (config->min_free <= 0)
        return 0;
    now = mg_ticks();
    if (server->space_checked != 0
        && now - server->space_checked < apr_time_from_sec(1))
        return server->space_low;
    server->space_checked = now;
    server->space_low = is_low(config->spool_dir, config->min_free);
    if (!server->space_low && strncmp(config->store, "sqlite:", 7) == 0)
        server->space_low = is_low(config->store + 7, config->min_free);
    if (server->space_low != was)
        mg_log(was ? MG_LOG_INFO : MG_LOG_ERR, APR_SUCCESS,
               was ? "there is space again: taking mail"
                   : "less than MailgunMinFreeSpace is left: taking no mail");
    return server->space_low;
}
