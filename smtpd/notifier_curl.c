/* notifier_curl.c - libcurl's multi interface on our loop: its sockets are
 * watches, its time-out is a timer. */
#include "mg_log.h"
#include "mg_status.h"
#include "notifier.h"

static void collect_finished(notifier_t *n)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(n->multi, &left)) != NULL) {
        notifier_post_t *post;
        CURLcode rc = message->data.result;
        CURL *easy = message->easy_handle;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&post);
        curl_multi_remove_handle(n->multi, easy);
        notifier_post_finished(post, rc);
    }
}

static void on_socket(loop_t *loop, int fd, int events, void *baton)
{
    notifier_t *n = baton;
    int mask = 0, running;

    (void)loop;
    if (events & LOOP_READ)
        mask |= CURL_CSELECT_IN;
    if (events & LOOP_WRITE)
        mask |= CURL_CSELECT_OUT;
    if (events & LOOP_HANGUP)
        mask |= CURL_CSELECT_IN | CURL_CSELECT_ERR;
    curl_multi_socket_action(n->multi, fd, mask, &running);
    collect_finished(n);
}

/* CURLMOPT_SOCKETFUNCTION */
static int socket_wanted(CURL *easy, curl_socket_t fd, int what, void *baton,
                         void *socket_baton)
{
    loop_watch_t *watch = socket_baton;
    notifier_t *n = baton;
    int events = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watch)
            loop_unwatch(watch);
        curl_multi_assign(n->multi, fd, NULL);
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
    if (loop_watch(&watch, n->worker->loop, fd, events, on_socket, n)
        == APR_SUCCESS)
        curl_multi_assign(n->multi, fd, watch);
    return 0;
}

static void on_timer(loop_t *loop, void *baton)
{
    notifier_t *n = baton;
    int running;

    (void)loop;
    n->curl_timer = NULL;
    curl_multi_socket_action(n->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(n);
}

/* CURLMOPT_TIMERFUNCTION; must not call back into curl */
static int timer_wanted(CURLM *multi, long timeout_ms, void *baton)
{
    notifier_t *n = baton;

    (void)multi;
    if (n->curl_timer)
        loop_timer_cancel(n->curl_timer);
    n->curl_timer = NULL;
    if (timeout_ms >= 0)
        n->curl_timer = loop_timer_set(n->worker->loop,
                                       apr_time_from_msec(timeout_ms),
                                       on_timer, n);
    return 0;
}

static apr_status_t cleanup_curl(void *baton)
{
    notifier_t *n = baton;
    notifier_post_t *post;

    APR_RING_FOREACH(post, &n->running, notifier_post_t, link) {
        curl_multi_remove_handle(n->multi, post->easy);
        notifier_post_free_request(post);
    }
    curl_multi_cleanup(n->multi);
    return APR_SUCCESS;
}

apr_status_t notifier_curl_init(notifier_t *n)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return APR_EGENERAL;
    n->multi = curl_multi_init();
    if (n->multi == NULL)
        return APR_ENOMEM;
    curl_multi_setopt(n->multi, CURLMOPT_SOCKETFUNCTION, socket_wanted);
    curl_multi_setopt(n->multi, CURLMOPT_SOCKETDATA, n);
    curl_multi_setopt(n->multi, CURLMOPT_TIMERFUNCTION, timer_wanted);
    curl_multi_setopt(n->multi, CURLMOPT_TIMERDATA, n);
    curl_multi_setopt(n->multi, CURLMOPT_MAXCONNECTS, 100L);
    apr_pool_pre_cleanup_register(n->pool, n, cleanup_curl);
    return APR_SUCCESS;
}

apr_status_t notifier_curl_add(notifier_post_t *post)
{
    CURLMcode rc = curl_multi_add_handle(post->notifier->multi, post->easy);

    if (rc == CURLM_OK)
        return APR_SUCCESS;
    mg_log(MG_LOG_ERR, APR_SUCCESS, "notifier: curl: %s",
           curl_multi_strerror(rc));
    return APR_EGENERAL;
}
