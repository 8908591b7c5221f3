/* track.h - the tracking host: /o/<token>, /c/<token>, /u/<token>.
 *
 * A request walks: track_request (is the token ours, and this host's) ->
 * track_hit (the event, committed, or kept in the journal where the store is
 * down) -> the answer: a pixel, a redirect, a page (track_page). No answer
 * before the hit is on disk; no redirect but to where the signed link says.
 *
 * Whoever made a token up, cut it or brought it to another host gets 404, and
 * nothing is written.
 */
#ifndef TRACK_H
#define TRACK_H

#include "api.h"
#include "mg_hit.h"
#include "mg_track.h"

typedef struct {
    request_rec *r;
    apr_pool_t *p;
    api_child_t *child;
    const char *token;          /* what stands behind /o/ */
    mg_track_t track;
    const char *domain;         /* its name; NULL: it is gone, or the store
                                   cannot say */
    int unchecked;              /* nobody could say whether the host is its */
    mg_client_t client;
    int machine;                /* HEAD, prefetching, a scanner's name */
} track_t;

/* track_request.c */
int track_is_ours(const request_rec *r);
int track_handle(request_rec *r);

/* track_host.c: whose host */
/** *pfits: may this token be used at this host? Sets t->domain, unchecked. */
void track_find_domain(int *pfits, track_t *t);

/* track_hit.c */
/** Who it is, by what the request says. */
void track_client(track_t *t);
/** The store failed a moment ago: nobody waits for it now. */
int track_is_down(const api_child_t *child);
/** Commit it, or keep it. What fails is in the log: the answer is the same. */
void track_hit(track_t *t, int machine, int undo);

/* track_page.c: unsubscribing */
int track_unsubscribe(track_t *t);
/** Headers of all answers. */
void track_headers(request_rec *r);

/* track_words.c */
typedef struct {
    const char *language;       /* "de" */
    /* texts; {address}, {domain}, {tags} stand for what they say */
    const char *ask_title, *ask_all, *ask_tags, *ask_button;
    const char *done_title, *done_all, *done_tags, *undo_button;
    const char *undone_title, *undone_text;
} track_words_t;
/** By Accept-Language (RFC 9110 12.5.4); NULL: English. */
const track_words_t *track_words(const char *accept_language);

#endif
