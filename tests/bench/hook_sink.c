/* hook_sink.c - takes posts as fast as it can: HTTP/1.1, kept alive, one thread.
 *
 *     hook_sink PORT FILE
 *
 * FILE is 24 bytes: how many came, when the first and the last one did
 * (CLOCK_REALTIME, microseconds). A path that begins with /hang is never
 * answered.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNS 65536
#define ROOM (256 * 1024)

typedef struct {
    char *buf;
    size_t len, want;    /* want: of the request, 0: not known yet */
} conn_t;

static conn_t conns[CONNS];
static volatile uint64_t *seen;

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void drop(int fd)
{
    free(conns[fd].buf);
    memset(&conns[fd], 0, sizeof(conns[fd]));
    close(fd);
}

/* @return 1: a whole request is there */
static int is_whole(conn_t *c)
{
    char *end, *field;

    if (c->want == 0) {
        c->buf[c->len] = '\0';
        end = strstr(c->buf, "\r\n\r\n");
        if (end == NULL)
            return 0;
        field = strcasestr(c->buf, "\r\nContent-Length:");
        c->want = (size_t)(end + 4 - c->buf)
                  + (field && field < end ? strtoul(field + 17, NULL, 10) : 0);
    }
    return c->len >= c->want;
}

static void on_input(int fd)
{
    static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    conn_t *c = &conns[fd];
    ssize_t n;

    if (c->buf == NULL)
        c->buf = malloc(ROOM + 1);
    n = recv(fd, c->buf + c->len, ROOM - c->len, 0);
    if (n <= 0) {
        drop(fd);
        return;
    }
    c->len += (size_t)n;
    if (!is_whole(c))
        return;
    if (strncmp(c->buf, "POST /hang", 10) != 0) {
        if (seen[0]++ == 0)
            seen[1] = now_us();
        seen[2] = now_us();
        if (send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL) < 0) {
            drop(fd);
            return;
        }
    }
    c->len = c->want = 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in in = { .sin_family = AF_INET };
    struct epoll_event events[256], e = { .events = EPOLLIN };
    int one = 1, fd, poll, file, n, i;

    if (argc != 3)
        return 2;
    file = open(argv[2], O_RDWR);
    seen = mmap(NULL, 24, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) || listen(fd, 1024))
        return 1;
    poll = epoll_create1(0);
    e.data.fd = fd;
    epoll_ctl(poll, EPOLL_CTL_ADD, fd, &e);
    while ((n = epoll_wait(poll, events, 256, -1)) > 0) {
        for (i = 0; i < n; i++) {
            if (events[i].data.fd != fd) {
                on_input(events[i].data.fd);
                continue;
            }
            e.data.fd = accept(fd, NULL, NULL);
            if (e.data.fd < 0 || e.data.fd >= CONNS)
                continue;
            setsockopt(e.data.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            epoll_ctl(poll, EPOLL_CTL_ADD, e.data.fd, &e);
        }
    }
    return 0;
}
