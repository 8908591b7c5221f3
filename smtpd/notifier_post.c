/* notifier_post.c - one post: a webhook or a route's forward.
 *
 * Answers (manual; reference, sections 9 and 11): a webhook is done with any
 * 2xx, a forward with 200; 406 means never again; everything else is tried
 * later. "delivered" is posted once. Only the address that is connected to
 * decides whether it may be (notifier_guard.c); nothing is redirected.
 */
#include <apr_strings.h>
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "mg_fault.h"
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"
#include "mg_version.h"
#include "notifier.h"

#define ANSWER_MAX (64 * 1024)   /* read at most; then the line is cut */
#define CONNECT_TIME_MS 10000L

/* --- schedules --- */

apr_interval_time_t notifier_retry_delay(int hook, int attempts)
{
    static const int minutes[2][7] = {
        { 10, 10, 15, 30, 60, 120, 240 }, /* forward("http://...") */
        { 10, 10, 10, 30, 30, 30, 30 },   /* webhooks */
    };

    if (attempts < 1 || attempts > 7)
        return 0;
    return apr_time_from_sec(60 * minutes[hook != 0][attempts - 1]);
}

/* --- what happened, in words and as a result --- */

static void say(mg_log_level_t level, const notifier_post_t *post,
                const char *what, const char *why)
{
    worker_t *worker = post->notifier->worker;
    const mg_domain_t *domain = NULL;

    if (mg_log_get_level() < level)
        return;
    mg_domain_cached_by_id(&domain, worker->domains, worker->db,
                           post->row.domain_id);
    mg_log(level, APR_SUCCESS, "notifier: %s: domain %s message %"
           APR_INT64_T_FMT " delivery %" APR_INT64_T_FMT " %s to %s: %s",
           what, domain ? domain->name : "?", post->row.message_id,
           post->row.id, notifier_is_hook(post) ? "webhook" : "forward",
           post->row.dest, why);
}

/* "delivered" is so frequent that it is posted once (manual). */
static int is_posted_once(notifier_post_t *post)
{
    return notifier_is_hook(post)
           && !post->notifier->worker->config->hook_retry_delivered
           && strcmp(notifier_event(post), "delivered") == 0;
}

/* A webhook becomes a dead letter that needs nothing else of the store. */
static void give_up(notifier_post_t *post, int code, const char *why,
                    mg_log_level_t level)
{
    say(level, post, "given up", why);
    if (notifier_is_hook(post))
        notifier_fields_keep(post);
    notifier_result(post, NOTIFIER_GIVEN_UP, code, why, 0);
}

static void try_later(notifier_post_t *post, int code, const char *why)
{
    apr_interval_time_t delay;

    delay = notifier_retry_delay(notifier_is_hook(post), post->row.attempts + 1);
    if (delay == 0 || is_posted_once(post)) {
        give_up(post, code, why, MG_LOG_INFO);
        return;
    }
    say(MG_LOG_INFO, post, "put off", why);
    notifier_result(post, NOTIFIER_LATER, code, why, mg_now() + delay);
}

/* --- curl's callbacks --- */

typedef struct {
    const char *bytes;
    apr_size_t len, at;
} reader_t;

static size_t read_file(char *buf, size_t size, size_t n, void *baton)
{
    reader_t *r = baton;
    apr_size_t room = size * n, left = r->len - r->at;

    if (room > left)
        room = left;
    memcpy(buf, r->bytes + r->at, room);
    r->at += room;
    return room;
}

/* A kept connection may die before it is used: curl starts over. */
static int seek_file(void *baton, curl_off_t offset, int origin)
{
    reader_t *r = baton;

    if (origin != SEEK_SET || offset < 0 || (apr_size_t)offset > r->len)
        return CURL_SEEKFUNC_FAIL;
    r->at = (apr_size_t)offset;
    return CURL_SEEKFUNC_OK;
}

static size_t on_answer(char *bytes, size_t size, size_t n, void *baton)
{
    notifier_post_t *post = baton;
    apr_size_t len = size * n, room = NOTIFIER_ANSWER - post->answer_len;

    post->received += (apr_int64_t)len;
    if (room > len)
        room = len;
    memcpy(post->answer + post->answer_len, bytes, room);
    post->answer_len += room;
    post->answer[post->answer_len] = '\0';
    return post->received > ANSWER_MAX ? 0 : len;
}

static size_t on_answer_header(char *bytes, size_t size, size_t n,
                               void *baton)
{
    notifier_post_t *post = baton;

    (void)bytes;
    post->received += (apr_int64_t)(size * n);
    return post->received > ANSWER_MAX ? 0 : size * n;
}

void notifier_post_refuse(notifier_post_t *post, const char *address,
                          const char *what)
{
    post->refused = apr_psprintf(post->pool, "refused: %s is a %s address "
                                 "(MailgunHookAllow names exceptions)",
                                 address, what);
}

/* CURLOPT_OPENSOCKETFUNCTION: the address is resolved, nothing is sent yet. */
static curl_socket_t open_socket(void *baton, curlsocktype purpose,
                                 struct curl_sockaddr *address)
{
    notifier_post_t *post = baton;
    const char *what = notifier_guard_refuses(post->notifier->guard,
                                              &address->addr);
    char text[INET6_ADDRSTRLEN] = "?";

    (void)purpose;
    if (what == NULL) {
        post->reached = 1;
        return socket(address->family, address->socktype | SOCK_CLOEXEC,
                      address->protocol);
    }
    if (address->family == AF_INET)
        inet_ntop(AF_INET,
                  &((struct sockaddr_in *)&address->addr)->sin_addr, text,
                  sizeof(text));
    else if (address->family == AF_INET6)
        inet_ntop(AF_INET6,
                  &((struct sockaddr_in6 *)&address->addr)->sin6_addr, text,
                  sizeof(text));
    notifier_post_refuse(post, text, what);
    return CURL_SOCKET_BAD;
}

/* --- the request --- */

static void set_multipart(notifier_post_t *post,
                          const apr_array_header_t *fields)
{
    int i;

    post->mime = curl_mime_init(post->easy);
    for (i = 0; i < fields->nelts; i++) {
        const mg_field_t *f = &APR_ARRAY_IDX(fields, i, mg_field_t);
        curl_mimepart *part = curl_mime_addpart(post->mime);
        reader_t *r = apr_pcalloc(post->body_pool, sizeof(*r));

        r->bytes = f->value ? f->value : f->file;
        r->len = f->value ? strlen(f->value) : f->file_len;
        curl_mime_name(part, f->name);
        if (f->stream)
            curl_mime_data_cb(part, (curl_off_t)f->file_len,
                              notifier_stream_read, notifier_stream_seek,
                              NULL, f->stream);
        else
            curl_mime_data_cb(part, (curl_off_t)r->len, read_file, seek_file,
                              NULL, r);
        if (f->value == NULL) {
            curl_mime_filename(part, f->filename);
            curl_mime_type(part, f->content_type);
        }
    }
    curl_easy_setopt(post->easy, CURLOPT_MIMEPOST, post->mime);
}

static void set_body(notifier_post_t *post, const apr_array_header_t *fields)
{
    apr_size_t len;
    char *body;

    if (mg_hook_has_files(fields)) {
        set_multipart(post, fields);
        return;
    }
    body = mg_hook_urlencode(fields, &len, post->body_pool);
    curl_easy_setopt(post->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t)len);
    curl_easy_setopt(post->easy, CURLOPT_POSTFIELDS, body);
}

/* What is the same for every post. */
static CURL *make_handle(notifier_t *n)
{
    CURL *e = curl_easy_init();

    if (e == NULL)
        return NULL;
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "mailgun/" MG_VERSION);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, 4096L);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_answer_header);
    /* no "100-continue": many servers never answer it */
    if (n->headers == NULL)
        n->headers = curl_slist_append(NULL, "Expect:");
    curl_easy_setopt(e, CURLOPT_HTTPHEADER, n->headers);
    return e;
}

static void set_options(notifier_post_t *post)
{
    CURL *e = post->easy;

    curl_easy_setopt(e, CURLOPT_PRIVATE, post);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, post->error);
    curl_easy_setopt(e, CURLOPT_URL, post->row.target);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, post);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, post);
}

/* A handle that had a form of several parts is not used again. */
static void free_handle(notifier_post_t *post)
{
    notifier_t *n = post->notifier;
    CURL *e = post->easy;

    if (post->mime || n->closing || n->nhandles == NOTIFIER_HANDLES) {
        curl_easy_cleanup(e);
        return;
    }
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, NULL);
    curl_easy_setopt(e, CURLOPT_RESOLVE, NULL);
    curl_easy_setopt(e, CURLOPT_POSTFIELDS, "");
    n->handles[n->nhandles++] = e;
}

void notifier_handles_free(notifier_t *n)
{
    while (n->nhandles)
        curl_easy_cleanup(n->handles[--n->nhandles]);
    curl_slist_free_all(n->headers);
    n->headers = NULL;
}

void notifier_post_free_request(notifier_post_t *post)
{
    if (post->easy)
        free_handle(post);
    curl_mime_free(post->mime);
    curl_slist_free_all(post->resolve);
    if (post->body_pool)
        apr_pool_destroy(post->body_pool);
    post->easy = NULL;
    post->mime = NULL;
    post->resolve = NULL;
    post->body_pool = NULL;
}

apr_status_t notifier_post_start(notifier_post_t *post)
{
    apr_array_header_t *fields;
    const char *why;
    apr_status_t rv;

    if (notifier_is_hook(post) && post->row.expires_at
        && mg_now() > post->row.expires_at) {
        give_up(post, 0, "it waited too long", MG_LOG_INFO);
        return APR_SUCCESS;
    }
    if (mg_queue_url_dest(post->row.target, post->pool) == NULL) {
        give_up(post, 0, "the URL is none that can be posted to",
                MG_LOG_WARN);
        return APR_SUCCESS;
    }
    apr_pool_create(&post->body_pool, post->pool);
    rv = notifier_fields_make(&fields, &why, post);
    if (rv == APR_ENOENT || rv == MG_ECRYPT) {
        notifier_post_free_request(post);
        give_up(post, 0, rv == MG_ECRYPT ? "the signing key cannot be opened"
                                         : why, MG_LOG_WARN);
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        notifier_post_free_request(post);
        return rv;
    }
    post->easy = post->notifier->nhandles
                     ? post->notifier->handles[--post->notifier->nhandles]
                     : make_handle(post->notifier);
    if (post->easy == NULL) {
        notifier_post_free_request(post);
        return APR_ENOMEM;
    }
    set_options(post);
    set_body(post, fields);
    post->begun_at = mg_ticks();
    notifier_address(post);
    return APR_SUCCESS;
}

/* The time limit is one for all of it. */
void notifier_post_go(notifier_post_t *post)
{
    apr_interval_time_t left = post->notifier->worker->config->hook_timeout
                               - (mg_ticks() - post->begun_at);
    long timeout = left > 1000 ? (long)apr_time_as_msec(left) : 1L;

    curl_easy_setopt(post->easy, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(post->easy, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout < CONNECT_TIME_MS ? timeout : CONNECT_TIME_MS);
    if (notifier_curl_add(post) != APR_SUCCESS)
        notifier_post_lost(post, "curl does not take it");
}

void notifier_post_lost(notifier_post_t *post, const char *why)
{
    why = apr_pstrdup(post->pool, why);
    notifier_post_free_request(post);
    if (post->refused && !post->reached) {
        give_up(post, 0, post->refused, MG_LOG_WARN);
        return;
    }
    notifier_line_failed(post->line);
    try_later(post, 0, why);
}

/* --- the answer --- */

/* "503 what the first line of the answer says" */
static const char *answer_words(notifier_post_t *post, long code)
{
    apr_size_t len = strcspn(post->answer, "\r\n");

    return apr_psprintf(post->pool, "%ld %.*s", code,
                        len > 200 ? 200 : (int)len, post->answer);
}

static void on_http_answer(notifier_post_t *post, int code)
{
    int taken = notifier_is_hook(post) ? code >= 200 && code < 300 : code == 200;
    const char *words = answer_words(post, code);

    if (taken) {
        say(MG_LOG_INFO, post, "posted", words);
        notifier_result(post, NOTIFIER_DONE, code, words, 0);
    }
    else if (code == 406) {
        give_up(post, code, words, MG_LOG_INFO);
    }
    else {
        try_later(post, code, words);
    }
}

void notifier_post_finished(notifier_post_t *post, CURLcode rc)
{
    const char *why;
    long code = 0;

    (void)MG_FAULT("notifier.reply.after");
    curl_easy_getinfo(post->easy, CURLINFO_RESPONSE_CODE, &code);
    why = apr_pstrdup(post->pool,
                      *post->error ? post->error : curl_easy_strerror(rc));
    notifier_post_free_request(post);
    if (rc == CURLE_OK
        || (rc == CURLE_WRITE_ERROR && post->received > ANSWER_MAX
            && code >= 200)) {
        notifier_line_answered(post->line);
        on_http_answer(post, (int)code);
        return;
    }
    if (rc == CURLE_URL_MALFORMAT) {
        give_up(post, 0, why, MG_LOG_WARN);
        return;
    }
    notifier_post_lost(post, why);
}
