/* sts_fetch.c - see sts_fetch.h.
 *
 * The address is looked up by our own resolver, so that it is the one that all
 * look-ups go to, and judged as a webhook's is: a domain's DNS must not send us
 * to hosts of our own network. No redirects, a certificate that is right, text
 * only, 64 KB, half a minute.
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "curl_loop.h"
#include "mg_log.h"
#include "mg_version.h"
#include "notifier_guard.h"
#include "sts_fetch.h"

#define FETCHES_MAX 50            /* under way */
#define WAITING_MAX 200           /* for one of them to end; beyond them: later */
#define TIMEOUT_MS 30000L
#define CONNECT_MS 10000L
#define ADDRESSES_MAX 8

typedef struct fetch_t fetch_t;
struct fetch_t {
    sts_fetcher_t *fetcher;
    apr_pool_t *pool;
    const char *domain, *host;
    sts_got_fn *got;
    void *baton;
    CURL *easy;
    struct curl_slist *resolve;
    char error[CURL_ERROR_SIZE];
    char *text;
    apr_size_t len;
    fetch_t *next;
};

struct sts_fetcher_t {
    loop_t *loop;
    dns_t *dns;
    curl_loop_t *curl;
    const mg_config_t *config;
    notifier_guard_t *guard;
    apr_pool_t *pool;
    fetch_t *running, *waiting, **waiting_end;
    int nrunning, nwaiting, closing;
    int beginning;                /* guards against itself */
};

static void begin_waiting(sts_fetcher_t *fetcher);

static void fetch_free(fetch_t *f)
{
    sts_fetcher_t *fetcher = f->fetcher;
    fetch_t **link = &fetcher->running;

    while (*link && *link != f)
        link = &(*link)->next;
    if (*link) {
        *link = f->next;
        fetcher->nrunning--;
    }
    if (f->easy)
        curl_easy_cleanup(f->easy);
    curl_slist_free_all(f->resolve);
    free(f->text);
    apr_pool_destroy(f->pool);
    begin_waiting(fetcher);
}

static void fail(fetch_t *f, const char *why)
{
    f->got(NULL, 0, why, f->baton);
    fetch_free(f);
}

/* --- the transfer --- */

static size_t on_body(char *bytes, size_t size, size_t n, void *baton)
{
    fetch_t *f = baton;
    size_t len = size * n;

    if (f->len + len > STS_TEXT_MAX)
        return 0;
    f->text = realloc(f->text, f->len + len + 1);
    if (!f->text)
        abort();
    memcpy(f->text + f->len, bytes, len);
    f->len += len;
    return len;
}

static int is_text(CURL *easy)
{
    const char *type = NULL;

    curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
    return type && strncasecmp(type, "text/plain", 10) == 0
           && (type[10] == '\0' || type[10] == ';' || type[10] == ' ');
}

static void on_done(void *transfer, CURLcode rc)
{
    fetch_t *f = transfer;
    long status = 0;

    curl_easy_getinfo(f->easy, CURLINFO_RESPONSE_CODE, &status);
    if (rc != CURLE_OK)
        fail(f, f->error[0] ? f->error : curl_easy_strerror(rc));
    else if (status != 200)
        fail(f, apr_psprintf(f->pool, "HTTP status %ld", status));
    else if (!is_text(f->easy))
        fail(f, "it is not text/plain");
    else {
        f->got(f->text ? f->text : "", f->len, NULL, f->baton);
        fetch_free(f);
    }
}

static void set_options(fetch_t *f)
{
    const mg_config_t *config = f->fetcher->config;
    CURL *e = f->easy;

    curl_easy_setopt(e, CURLOPT_PRIVATE, f);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, f->error);
    curl_easy_setopt(e, CURLOPT_URL,
                     apr_psprintf(f->pool, "https://%s:%d/.well-known/"
                                  "mta-sts.txt", f->host,
                                  config->mta_sts_port));
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "https");
    curl_easy_setopt(e, CURLOPT_RESOLVE, f->resolve);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L); /* RFC 8461 3.3 */
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "mailgun/" MG_VERSION);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(e, CURLOPT_MAXFILESIZE, (long)STS_TEXT_MAX);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, f);
    if (config->tls_trust && *config->tls_trust)
        curl_easy_setopt(e, CURLOPT_CAINFO, config->tls_trust);
}

/* --- where it is --- */

/* "mta-sts.a.test:443:192.0.2.1,[2001:db8::1]"; NULL: none may be reached */
static const char *resolve_line(fetch_t *f, const dns_answer_t *answer,
                                const char **pwhy)
{
    const char *list = NULL;
    int i, n = 0;

    *pwhy = "its host has no address";
    for (i = 0; i < answer->nhosts && n < ADDRESSES_MAX; i++) {
        const struct sockaddr *addr =
            (const struct sockaddr *)&answer->hosts[i].addr;
        int v6 = addr->sa_family == AF_INET6;
        const char *what = notifier_guard_refuses(f->fetcher->guard, addr);
        char ip[INET6_ADDRSTRLEN];

        inet_ntop(addr->sa_family,
                  v6 ? (const void *)&((const struct sockaddr_in6 *)
                                       (const void *)addr)->sin6_addr
                     : (const void *)&((const struct sockaddr_in *)
                                       (const void *)addr)->sin_addr,
                  ip, sizeof(ip));
        if (what) {
            *pwhy = apr_psprintf(f->pool, "%s is a %s address", ip, what);
            continue;
        }
        list = apr_pstrcat(f->pool, list ? list : "", list ? "," : "",
                           v6 ? "[" : "", ip, v6 ? "]" : "", NULL);
        n++;
    }
    return list ? apr_psprintf(f->pool, "%s:%d:%s", f->host,
                               f->fetcher->config->mta_sts_port, list)
                : NULL;
}

static void on_address(const dns_answer_t *answer, void *baton)
{
    fetch_t *f = baton;
    const char *line, *why;

    if (f->fetcher->closing)
        return;
    line = answer->status == DNS_FOUND ? resolve_line(f, answer, &why) : NULL;
    if (!line) {
        fail(f, answer->status == DNS_FOUND
                    ? why : apr_pstrdup(f->pool, answer->reply));
        return;
    }
    f->resolve = curl_slist_append(NULL, line);
    f->easy = curl_easy_init();
    if (!f->resolve || !f->easy)
        abort();
    set_options(f);
    if (curl_loop_add(f->fetcher->curl, f->easy) != APR_SUCCESS)
        fail(f, "curl does not take it");
}

static void begin_waiting(sts_fetcher_t *fetcher)
{
    fetch_t *f;

    if (fetcher->beginning || fetcher->closing)
        return; /* one that fails at once ends here, too */
    fetcher->beginning = 1;
    while (fetcher->nrunning < FETCHES_MAX && (f = fetcher->waiting) != NULL) {
        fetcher->waiting = f->next;
        if (!fetcher->waiting)
            fetcher->waiting_end = &fetcher->waiting;
        fetcher->nwaiting--;
        f->next = fetcher->running;
        fetcher->running = f;
        fetcher->nrunning++;
        dns_host(fetcher->dns, f->host, on_address, f);
    }
    fetcher->beginning = 0;
}

void sts_fetch(const char *domain, sts_got_fn *got, void *got_baton,
               void *baton)
{
    sts_fetcher_t *fetcher = baton;
    apr_pool_t *p;
    fetch_t *f;

    /* what fails for want of a policy goes without: better it waits a little */
    if (fetcher->nwaiting >= WAITING_MAX) {
        got(NULL, 0, "too many are being fetched", got_baton);
        return;
    }
    apr_pool_create(&p, fetcher->pool);
    f = apr_pcalloc(p, sizeof(*f));
    f->pool = p;
    f->fetcher = fetcher;
    f->domain = apr_pstrdup(p, domain);
    f->host = apr_pstrcat(p, "mta-sts.", domain, NULL);
    f->got = got;
    f->baton = got_baton;
    *fetcher->waiting_end = f;
    fetcher->waiting_end = &f->next;
    fetcher->nwaiting++;
    begin_waiting(fetcher);
}

/* --- life --- */

static apr_status_t cleanup(void *baton)
{
    sts_fetcher_t *fetcher = baton;

    fetcher->closing = 1;
    while (fetcher->running) {
        if (fetcher->running->easy)
            curl_loop_remove(fetcher->curl, fetcher->running->easy);
        fetch_free(fetcher->running);
    }
    return APR_SUCCESS; /* those that wait are in the pool */
}

apr_status_t sts_fetcher_create(sts_fetcher_t **pfetcher, loop_t *loop,
                                dns_t *dns, const mg_config_t *config,
                                apr_pool_t *p)
{
    sts_fetcher_t *f = apr_pcalloc(p, sizeof(*f));
    apr_status_t rv = curl_loop_create(&f->curl, loop, on_done, 5, p);

    if (rv != APR_SUCCESS)
        return rv;
    f->loop = loop;
    f->dns = dns;
    f->config = config;
    f->guard = notifier_guard_create(config->hook_allow, p);
    f->pool = p;
    f->waiting_end = &f->waiting;
    apr_pool_pre_cleanup_register(p, f, cleanup);
    *pfetcher = f;
    return APR_SUCCESS;
}
