/* track_page.c - the pages for who wants no more mail.
 *
 * GET asks, POST acts: scanners follow links, and must unsubscribe nobody
 * (MailgunUnsubscribeConfirm off: GET acts, too, as the manual has it, but for
 * what is known to be a machine). A POST of List-Unsubscribe=One-Click is RFC
 * 8058's: it comes from the mail program or its provider, without a page, and
 * gets no cookie and no redirect.
 *
 * The page needs nothing but itself, runs no script, and may stand in no frame.
 */
#include "track.h"

#include <apr_base64.h>
#include <apr_strings.h>
#include <http_protocol.h>
#include <string.h>

#include "mg_status.h"
#include "mg_text.h"

#define BODY_MAX 4096

static const char style[] =
    "body{margin:0;background:#f4f5f7;color:#1d2129;"
    "font:1.1em/1.5 system-ui,sans-serif}"
    "main{max-width:32em;margin:12vh auto 0;padding:2em 1.5em;"
    "background:#fff;border-radius:.5em}"
    "h1{margin:0 0 .5em;font-size:1.4em}"
    "p{overflow-wrap:anywhere}"
    "button{font:inherit;padding:.7em 1.4em;border:0;border-radius:.4em;"
    "background:#1d4ed8;color:#fff}"
    "button.quiet{background:none;color:#1d4ed8;padding:.7em 0;"
    "text-decoration:underline}"
    "@media(prefers-color-scheme:dark){body{background:#15171c;color:#e6e6e6}"
    "main{background:#22252c}button.quiet{color:#8ab4f8}}";

/* --- text --- */

static void put(apr_array_header_t *out, const char *text)
{
    APR_ARRAY_PUSH(out, const char *) = text;
}

static const char *escape(const char *text, apr_pool_t *p)
{
    return ap_escape_html2(p, mg_text_clean(text, strlen(text), p), 0);
}

static const char *tags_text(const track_t *t)
{
    return apr_array_pstrcat(t->p, mg_track_tags_of(t->track.text, t->p),
                             ',');
}

/* words with what {address}, {domain} and {tags} stand for, as HTML */
static const char *fill_in(const track_t *t, const char *words)
{
    const struct {
        const char *mark, *value;
    } marks[] = {
        { "{address}", t->track.recipient },
        { "{domain}", t->track.kind == MG_TRACK_UNSUBSCRIBE_LIST
                          ? t->track.text
                          : t->domain ? t->domain : t->r->hostname },
        { "{tags}", tags_text(t) },
    };
    apr_array_header_t *out = apr_array_make(t->p, 16, sizeof(char *));
    const char *open;
    int i;

    while ((open = strchr(words, '{')) != NULL) {
        put(out, escape(apr_pstrmemdup(t->p, words,
                                       (apr_size_t)(open - words)), t->p));
        for (i = 0; i < 2 && strncmp(open, marks[i].mark,
                                     strlen(marks[i].mark)); i++)
            ;
        put(out, "<b>");
        put(out, escape(marks[i].value ? marks[i].value : "", t->p));
        put(out, "</b>");
        words = strchr(open, '}') + 1;
    }
    put(out, escape(words, t->p));
    return apr_array_pstrcat(t->p, out, 0);
}

/* --- a page --- */

typedef struct {
    const char *title, *text;
    const char *action, *button;   /* NULL: no button */
    int quiet;                     /* it is no more than a link */
} page_t;

/* 'sha256-...' of the style: nothing else may style the page. */
static const char *policy(apr_pool_t *p)
{
    unsigned char digest[32];
    char hash[64];

    mg_sha256(digest, style, sizeof(style) - 1);
    apr_base64_encode(hash, (const char *)digest, sizeof(digest));
    return apr_pstrcat(p, "default-src 'none'; style-src 'sha256-", hash,
                       "'; form-action 'self'; base-uri 'none'; "
                       "frame-ancestors 'none'", NULL);
}

static const char *form(const page_t *page, apr_pool_t *p)
{
    if (!page->button)
        return "";
    return apr_pstrcat(
        p, "<form method=\"post\"><button", page->quiet ? " class=\"quiet\"" : "",
        " name=\"action\" value=\"", page->action, "\">",
        escape(page->button, p), "</button></form>\n", NULL);
}

static int show(track_t *t, const track_words_t *words, const page_t *page)
{
    request_rec *r = t->r;
    apr_table_t *h = r->headers_out;
    const char *title = escape(page->title, t->p), *html;

    html = apr_pstrcat(
        t->p, "<!DOCTYPE html>\n<html lang=\"", words->language, "\">\n"
        "<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, "
        "initial-scale=1\">\n<meta name=\"robots\" content=\"noindex\">\n"
        "<title>", title, "</title>\n<style>", style, "</style>\n</head>\n"
        "<body>\n<main>\n<h1>", title, "</h1>\n<p>", page->text, "</p>\n",
        form(page, t->p), "</main>\n</body>\n</html>\n", NULL);
    apr_table_setn(h, "Content-Security-Policy", policy(t->p));
    apr_table_setn(h, "X-Frame-Options", "DENY");
    apr_table_setn(h, "X-Content-Type-Options", "nosniff");
    apr_table_setn(h, "Referrer-Policy", "no-referrer");
    apr_table_setn(h, "Content-Language", words->language);
    apr_table_setn(h, "Vary", "Accept-Language");
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_set_content_length(r, (apr_off_t)strlen(html));
    if (!r->header_only)
        ap_rputs(html, r);
    return OK;
}

static int has_tags(const track_t *t)
{
    return t->track.kind == MG_TRACK_UNSUBSCRIBE_TAGS && *tags_text(t);
}

static int show_ask(track_t *t, const track_words_t *w)
{
    page_t page = { w->ask_title,
                    fill_in(t, has_tags(t) ? w->ask_tags : w->ask_all),
                    "unsubscribe", w->ask_button, 0 };

    return show(t, w, &page);
}

static int show_done(track_t *t, const track_words_t *w)
{
    page_t page = { w->done_title,
                    fill_in(t, has_tags(t) ? w->done_tags : w->done_all),
                    "subscribe", w->undo_button, 1 };

    return show(t, w, &page);
}

static int show_undone(track_t *t, const track_words_t *w)
{
    page_t page = { w->undone_title, fill_in(t, w->undone_text), NULL, NULL,
                    0 };

    return show(t, w, &page);
}

/* --- what is asked of us --- */

/* The body, a form of a few octets; an HTTP status if it is none. */
static int read_form(mg_form_t **pform, track_t *t)
{
    mg_form_limits_t limits = { .memory = BODY_MAX, .total = BODY_MAX,
                                .fields = 16, .name = 256,
                                .spool_dir = t->child->config->spool_dir };
    const char *type = apr_table_get(t->r->headers_in, "Content-Type");
    char body[BODY_MAX + 1];
    apr_size_t have = 0;
    int status, known;
    long n = 0;

    *pform = mg_form_create(&limits, t->p);
    status = ap_setup_client_block(t->r, REQUEST_CHUNKED_DECHUNK);
    if (status != OK || !ap_should_client_block(t->r))
        return status;
    while (have < sizeof(body)
           && (n = ap_get_client_block(t->r, body + have,
                                       sizeof(body) - have)) > 0)
        have += (apr_size_t)n;
    if (n < 0)
        return HTTP_BAD_REQUEST;
    if (have > BODY_MAX)
        return HTTP_REQUEST_ENTITY_TOO_LARGE;
    if (mg_form_begin(*pform, type ? type
                                   : "application/x-www-form-urlencoded",
                      &known) != APR_SUCCESS
        || mg_form_feed(*pform, body, have) != APR_SUCCESS
        || mg_form_end(*pform) != APR_SUCCESS)
        return HTTP_BAD_REQUEST;
    return OK;
}

static int form_says(track_t *t, const mg_form_t *f, const char *name,
                     const char *value)
{
    const char *text = mg_form_text(f, name, t->p);

    return text && strcasecmp(text, value) == 0;
}

static int post(track_t *t, const track_words_t *words)
{
    mg_form_t *f;
    int status = read_form(&f, t);

    if (status != OK)
        return status;
    if (form_says(t, f, "action", "subscribe")) {
        track_hit(t, 0, 1);
        return show_undone(t, words);
    }
    if (!form_says(t, f, "List-Unsubscribe", "One-Click")
        && !form_says(t, f, "action", "unsubscribe"))
        return show_ask(t, words); /* whoever posts to all it finds */
    track_hit(t, 0, 0);
    return show_done(t, words);
}

/* For the page only: nobody is the wiser if the store cannot be asked. */
static int is_done(track_t *t)
{
    apr_status_t rv = APR_EGENERAL;
    mg_db_t *db = NULL;
    int is = 0;

    if (!t->child->leader || t->unchecked || t->child->track_down
        || mg_leader_reader(&db, t->child->leader) != APR_SUCCESS)
        return 0;
    rv = mg_hit_is_unsubscribed(&is, db, &t->track, t->p);
    mg_leader_reader_done(t->child->leader, db);
    return rv == APR_SUCCESS && is;
}

int track_unsubscribe(track_t *t)
{
    const track_words_t *words = track_words(
        apr_table_get(t->r->headers_in, "Accept-Language"));

    if (t->r->method_number == M_POST)
        return post(t, words);
    if (!t->child->config->unsubscribe_confirm && !t->machine) {
        track_hit(t, 0, 0);
        return show_done(t, words);
    }
    return is_done(t) ? show_done(t, words) : show_ask(t, words);
}
