/* curl_loop.c - see curl_loop.h. */
#include "curl_loop.h"
#include "mg_log.h"

struct curl_loop_t {
    loop_t *loop;
    CURLM *multi;
    loop_timer_t *timer;
    curl_loop_fn *done;
};

static void collect_finished(curl_loop_t *c)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(c->multi, &left)) != NULL) {
        CURLcode rc = message->data.result;
        CURL *easy = message->easy_handle;
        char *transfer;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
        curl_multi_remove_handle(c->multi, easy);
        c->done(transfer, rc);
    }
}

static void on_socket(loop_t *loop, int fd, int events, void *baton)
{
    curl_loop_t *c = baton;
    int mask = 0, running;

    (void)loop;
    if (events & LOOP_READ)
        mask |= CURL_CSELECT_IN;
    if (events & LOOP_WRITE)
        mask |= CURL_CSELECT_OUT;
    if (events & LOOP_HANGUP)
        mask |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
    curl_multi_socket_action(c->multi, fd, mask, &running);
    collect_finished(c);
}

/* CURLMOPT_SOCKETFUNCTION */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *baton,
                         void *socket_baton)
{
    loop_watch_t *watch = socket_baton;
    curl_loop_t *c = baton;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            loop_unwatch(watch);
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (what & CURL_POLL_IN)
        events |= LOOP_READ;
    if (what & CURL_POLL_OUT)
        events |= LOOP_WRITE;
    if (watch) {
        loop_watch_set(watch, events);
        return 0;
    }
    if (loop_watch(&watch, c->loop, fd, events, on_socket, c) == APR_SUCCESS)
        curl_multi_assign(c->multi, fd, watch);
    return 0;
}

static void on_timer(loop_t *loop, void *baton)
{
    curl_loop_t *c = baton;
    int running;

    (void)loop;
    c->timer = NULL;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(c);
}

/* CURLMOPT_TIMERFUNCTION; must not call back into curl */
static int timer_wanted(CURLM *multi, long timeout_ms, void *baton)
{
    curl_loop_t *c = baton;

    (void)multi;
    if (c->timer)
        loop_timer_cancel(c->timer);
    c->timer = NULL;
    if (timeout_ms >= 0)
        c->timer = loop_timer_set(c->loop, apr_time_from_msec(timeout_ms),
                                  on_timer, c);
    return 0;
}

static apr_status_t cleanup(void *baton)
{
    curl_loop_t *c = baton;

    curl_multi_cleanup(c->multi);
    return APR_SUCCESS;
}

apr_status_t curl_loop_create(curl_loop_t **pcurl, loop_t *loop,
                              curl_loop_fn *done, long connections,
                              apr_pool_t *p)
{
    curl_loop_t *c = apr_pcalloc(p, sizeof(*c));

    c->loop = loop;
    c->done = done;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return APR_EGENERAL;
    c->multi = curl_multi_init();
    if (c->multi == NULL)
        return APR_ENOMEM;
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, connections);
    apr_pool_pre_cleanup_register(p, c, cleanup);
    *pcurl = c;
    return APR_SUCCESS;
}

apr_status_t curl_loop_add(curl_loop_t *curl, CURL *easy)
{
    CURLMcode rc = curl_multi_add_handle(curl->multi, easy);

    if (rc == CURLM_OK)
        return APR_SUCCESS;
    mg_log(MG_LOG_ERR, APR_SUCCESS, "curl: %s", curl_multi_strerror(rc));
    return APR_EGENERAL;
}

void curl_loop_remove(curl_loop_t *curl, CURL *easy)
{
    curl_multi_remove_handle(curl->multi, easy);
}
