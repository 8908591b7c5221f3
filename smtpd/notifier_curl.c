/* notifier_curl.c - posts are transfers of libcurl on our loop. */
#include "notifier.h"

static void on_done(void *transfer, CURLcode rc)
{
    notifier_post_finished(transfer, rc);
}

static apr_status_t take_out_running(void *baton)
{
    notifier_t *n = baton;
    notifier_post_t *post;

    n->closing = 1;
    APR_RING_FOREACH(post, &n->running, notifier_post_t, link) {
        curl_loop_remove(n->curl, post->easy);
        notifier_post_free_request(post);
    }
    notifier_handles_free(n);
    return APR_SUCCESS;
}

apr_status_t notifier_curl_init(notifier_t *n)
{
    apr_status_t rv = curl_loop_create(&n->curl, n->worker->loop, on_done,
                                       256, n->pool);

    /* runs before curl's own cleanup, which came first */
    if (rv == APR_SUCCESS)
        apr_pool_pre_cleanup_register(n->pool, n, take_out_running);
    return rv;
}

apr_status_t notifier_curl_add(notifier_post_t *post)
{
    return curl_loop_add(post->notifier->curl, post->easy);
}
