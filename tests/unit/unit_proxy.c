/* unit_proxy.c - a proxy with latency and faults (unit_proxy.h). */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "unit_proxy.h"

#define CLIENTS_MAX 64
#define CHUNK 65536

typedef struct {
    int client, server;
    int client_spoke;
} pair_t;

struct unit_proxy_t {
    int listen_fd, port, target_port, delay_us;
    int wake[2];
    pthread_t thread;
    pthread_mutex_t lock;
    int cut, down, stop;
    char word[32];
    long turns;
    pair_t pairs[CLIENTS_MAX];
    int n;
};

static void pause_us(long us)
{
    struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

    nanosleep(&ts, NULL);
}

static int connect_to(int port)
{
    struct sockaddr_in addr = { .sin_family = AF_INET };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

    addr.sin_port = htons((unsigned short)port);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
        close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void drop(unit_proxy_t *proxy, int i)
{
    close(proxy->pairs[i].client);
    close(proxy->pairs[i].server);
    proxy->pairs[i] = proxy->pairs[--proxy->n];
}

static void take_client(unit_proxy_t *proxy)
{
    pair_t *pair = &proxy->pairs[proxy->n];
    int one = 1;

    pair->client = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
    if (pair->client < 0)
        return;
    pair->server = proxy->down || proxy->n == CLIENTS_MAX - 1
                       ? -1 : connect_to(proxy->target_port);
    if (pair->server < 0) {
        close(pair->client);
        return;
    }
    setsockopt(pair->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    pair->client_spoke = 0;
    proxy->n++;
}

static int put(int fd, const char *data, ssize_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        if (n <= 0)
            return 0;
        data += n;
        len -= n;
    }
    return 1;
}

/* @return 0: the pair is gone */
static int pass(unit_proxy_t *proxy, pair_t *pair, int from_client)
{
    char data[CHUNK];
    int from = from_client ? pair->client : pair->server;
    int to = from_client ? pair->server : pair->client;
    ssize_t n = recv(from, data, sizeof(data), 0);
    struct pollfd answer = { .fd = pair->server, .events = POLLIN };
    int cut = UNIT_CUT_NEVER;

    if (n <= 0)
        return 0;
    if (from_client && !pair->client_spoke)
        proxy->turns++;
    pair->client_spoke = from_client;
    if (from_client && proxy->cut
        && memmem(data, n, proxy->word, strlen(proxy->word))) {
        cut = proxy->cut;
        proxy->cut = UNIT_CUT_NEVER;
    }
    if (cut == UNIT_CUT_BEFORE)
        return 0;
    if (proxy->delay_us)
        pause_us(proxy->delay_us);
    if (!put(to, data, n))
        return 0;
    if (cut == UNIT_CUT_AFTER) {
        poll(&answer, 1, 5000);
        return 0;
    }
    return 1;
}

static void *run(void *data)
{
    unit_proxy_t *proxy = data;
    struct pollfd fds[2 + 2 * CLIENTS_MAX];
    int i, n;

    pthread_mutex_lock(&proxy->lock);
    while (!proxy->stop) {
        fds[0] = (struct pollfd){ proxy->wake[0], POLLIN, 0 };
        fds[1] = (struct pollfd){ proxy->listen_fd, POLLIN, 0 };
        n = proxy->n;
        for (i = 0; i < n; i++) {
            fds[2 + 2 * i] = (struct pollfd){ proxy->pairs[i].client, POLLIN,
                                              0 };
            fds[3 + 2 * i] = (struct pollfd){ proxy->pairs[i].server, POLLIN,
                                              0 };
        }
        pthread_mutex_unlock(&proxy->lock);
        poll(fds, 2 + 2 * n, -1);
        pthread_mutex_lock(&proxy->lock);
        if (fds[0].revents) {
            char byte;
            (void)!read(proxy->wake[0], &byte, 1);
        }
        for (i = n - 1; i >= 0; i--) {
            pair_t *pair = &proxy->pairs[i];
            if (proxy->down || (fds[2 + 2 * i].revents && !pass(proxy, pair,
                                                                1))
                || (fds[3 + 2 * i].revents && !pass(proxy, pair, 0)))
                drop(proxy, i);
        }
        if (fds[1].revents)
            take_client(proxy);
    }
    while (proxy->n > 0)
        drop(proxy, 0);
    pthread_mutex_unlock(&proxy->lock);
    return NULL;
}

unit_proxy_t *unit_proxy_start(int target_port, int delay_us)
{
    unit_proxy_t *proxy = calloc(1, sizeof(*proxy));
    struct sockaddr_in addr = { .sin_family = AF_INET };
    socklen_t len = sizeof(addr);

    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    proxy->target_port = target_port;
    proxy->delay_us = delay_us;
    proxy->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(proxy->listen_fd, (struct sockaddr *)&addr, len) != 0
        || listen(proxy->listen_fd, 16) != 0
        || getsockname(proxy->listen_fd, (struct sockaddr *)&addr, &len) != 0
        || pipe(proxy->wake) != 0) {
        perror("proxy");
        exit(1);
    }
    proxy->port = ntohs(addr.sin_port);
    pthread_mutex_init(&proxy->lock, NULL);
    pthread_create(&proxy->thread, NULL, run, proxy);
    return proxy;
}

int unit_proxy_port(const unit_proxy_t *proxy)
{
    return proxy->port;
}

void unit_proxy_cut(unit_proxy_t *proxy, int how, const char *word)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->cut = how;
    snprintf(proxy->word, sizeof(proxy->word), "%s", word);
    pthread_mutex_unlock(&proxy->lock);
}

static void wake(unit_proxy_t *proxy)
{
    (void)!write(proxy->wake[1], "x", 1);
}

void unit_proxy_down(unit_proxy_t *proxy, int down)
{
    int left;

    do { /* its thread drops them */
        pthread_mutex_lock(&proxy->lock);
        proxy->down = down;
        left = down ? proxy->n : 0;
        pthread_mutex_unlock(&proxy->lock);
        wake(proxy);
        if (left)
            pause_us(1000);
    } while (left);
}

long unit_proxy_turns(const unit_proxy_t *proxy)
{
    return proxy->turns;
}

void unit_proxy_stop(unit_proxy_t *proxy)
{
    pthread_mutex_lock(&proxy->lock);
    proxy->stop = 1;
    pthread_mutex_unlock(&proxy->lock);
    wake(proxy);
    pthread_join(proxy->thread, NULL);
    close(proxy->listen_fd);
    close(proxy->wake[0]);
    close(proxy->wake[1]);
    pthread_mutex_destroy(&proxy->lock);
    free(proxy);
}
