/* notifier_address.c - where a customer's host is.
 *
 * Its name is looked up once for a post, by our own resolver, and the addresses
 * that may be reached (notifier_guard.c) are what curl is given: it asks nobody
 * else, so that a second answer cannot lead elsewhere. The host is as curl reads
 * the URL ("0x7f.1" is 127.0.0.1 there), and what it connects to in the end is
 * judged once more (notifier_post.c).
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include "notifier.h"

#define ADDRESSES_MAX 8

static const char *text_of(const struct sockaddr *addr, int *pv6,
                           apr_pool_t *p)
{
    char ip[INET6_ADDRSTRLEN] = "?";

    *pv6 = addr->sa_family == AF_INET6;
    inet_ntop(addr->sa_family,
              *pv6 ? (const void *)&((const struct sockaddr_in6 *)
                                     (const void *)addr)->sin6_addr
                   : (const void *)&((const struct sockaddr_in *)
                                     (const void *)addr)->sin_addr,
              ip, sizeof(ip));
    return apr_pstrdup(p, ip);
}

/* "+hook.test:443:192.0.2.1,[2001:db8::1]": the plus lets it age in curl's
 * cache. NULL: none may be reached, post->refused says why */
static const char *resolve_line(notifier_post_t *post,
                                const dns_answer_t *answer)
{
    apr_pool_t *p = post->body_pool;
    const char *list = NULL;
    int i, v6, n = 0;

    for (i = 0; i < answer->nhosts && n < ADDRESSES_MAX; i++) {
        const struct sockaddr *addr =
            (const struct sockaddr *)&answer->hosts[i].addr;
        const char *what = notifier_guard_refuses(post->notifier->guard, addr);
        const char *ip = text_of(addr, &v6, p);

        if (what) {
            notifier_post_refuse(post, ip, what);
            continue;
        }
        list = apr_pstrcat(p, list ? list : "", list ? "," : "", v6 ? "[" : "",
                           ip, v6 ? "]" : "", NULL);
        n++;
    }
    return list ? apr_psprintf(p, "+%s:%s:%s", post->url_host, post->url_port,
                               list)
                : NULL;
}

static void on_address(const dns_answer_t *answer, void *baton)
{
    notifier_post_t *post = baton;
    const char *line;

    if (post->notifier->closing)
        return;
    post->looking = 0;
    if (answer->status != DNS_FOUND) {
        notifier_post_lost(post, answer->reply ? answer->reply
                                               : "its host has no address");
        return;
    }
    line = resolve_line(post, answer);
    if (line == NULL) {
        notifier_post_lost(post, post->refused);
        return;
    }
    post->resolve = curl_slist_append(NULL, line);
    curl_easy_setopt(post->easy, CURLOPT_RESOLVE, post->resolve);
    notifier_post_go(post);
}

static int is_ip(const char *host)
{
    struct in6_addr any;

    return *host == '[' || inet_pton(AF_INET, host, &any) == 1
           || inet_pton(AF_INET6, host, &any) == 1;
}

/* Host and port as curl reads them. @return 0: it is no URL for curl */
static int read_url(notifier_post_t *post)
{
    char *host = NULL, *port = NULL;
    CURLU *url = curl_url();
    int ok;

    ok = url
         && curl_url_set(url, CURLUPART_URL, post->row.target, 0) == CURLUE_OK
         && curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK
         && curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT)
                == CURLUE_OK;
    if (ok) {
        post->url_host = apr_pstrdup(post->body_pool, host);
        post->url_port = apr_pstrdup(post->body_pool, port);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return ok;
}

void notifier_address(notifier_post_t *post)
{
    const char *ascii;

    if (!read_url(post)) {
        notifier_post_lost(post, "the URL is none that can be posted to");
        return;
    }
    if (is_ip(post->url_host)) {
        notifier_post_go(post); /* nothing to look up: judged when connected */
        return;
    }
    ascii = dns_ascii(post->url_host, post->body_pool);
    if (ascii == NULL) {
        notifier_post_lost(post, "the URL's host is no name");
        return;
    }
    post->url_host = ascii;
    post->looking = 1;
    dns_host(post->notifier->dns, ascii, on_address, post);
}
