/* mg_render_private.h - between the files of rendering only. */
#ifndef MG_RENDER_PRIVATE_H
#define MG_RENDER_PRIVATE_H

#include "mg_render.h"
#include "mime_internal.h"

/* --- texts with variables (mg_render_text.c) --- */

typedef enum {
    RENDER_LITERAL, RENDER_RECIPIENT, RENDER_NAME, RENDER_EMAIL, RENDER_FNAME,
    RENDER_LNAME, RENDER_KEY, RENDER_URL, RENDER_TAG_URL, RENDER_LIST_URL,
    RENDER_UNSUBSCRIBE_EMAIL,
    /* what tracking puts in (mg_render_track.c) */
    RENDER_LINK, RENDER_PIXEL, RENDER_FOOTER
} render_kind_t;

typedef struct {
    render_kind_t kind;
    const char *text;   /* as it stands, the percent signs with it */
    apr_size_t len;
    const char *key;    /* RENDER_KEY; RENDER_LINK: where it leads, or NULL: that
                         * is known when its variables are; RENDER_FOOTER: the
                         * charset, NULL: UTF-8; RENDER_UNSUBSCRIBE_EMAIL: what
                         * goes before it, or NULL */
    const apr_array_header_t *parts; /* RENDER_LINK: its variables, or NULL */
} render_token_t;

/** Array of render_token_t that together are the text, which must live as long
 * as they do. *pvariables: how many of them are no literals. */
void render_parse(apr_array_header_t **ptokens, int *pvariables,
                  const char *text, apr_size_t len, apr_pool_t *p);
int render_has_variables(const char *text, apr_size_t len);
/** Of the variable at s, a '%'; 0: there is none. */
apr_size_t render_variable_len(const char *s, const char *end);

#define RENDER_LINKS 4
#define RENDER_OUT_MAX (2 * 1024 * 1024)  /* of one text, filled in */
#define RENDER_COPY_MAX (4 * 1024 * 1024) /* of all of a copy */

/** One recipient's values, each made when it is first asked for. */
typedef struct {
    const mg_render_for_t *who;
    apr_pool_t *p;
    int named;              /* name is known */
    const char *name;       /* display name, "" if there is none */
    const json_t *keys;     /* the delivery's variables; NULL: not parsed */
    const char *links[RENDER_LINKS];
    int dashes;             /* a value held "--" */
    apr_size_t total;       /* octets of texts written so far */
    int over;               /* it would have been more than there may be */
    int unsigned_links;     /* there was no secret to sign a link with */
} render_values_t;

void render_values_init(render_values_t *values, const mg_render_for_t *who,
                        apr_pool_t *p);
/** The recipient's display name, "" if it has none. */
const char *render_name(render_values_t *values);
const char *render_email(const render_values_t *values);

typedef enum {
    RENDER_RAW,      /* as it is */
    RENDER_HTML,     /* & < > " ' escaped */
    RENDER_LINE,     /* control characters are blanks */
    RENDER_ADDRESS   /* within an addr-spec: nothing that could end it */
} render_place_t;

/** The text for this recipient, ended by a NUL beyond *plen; "" and
 * values->over where it is too long. */
char *render_text(apr_size_t *plen, const apr_array_header_t *tokens,
                  render_values_t *values, render_place_t place);
/** What a token stands for here, unescaped; NULL: this recipient has none. */
const char *render_value(const render_token_t *token, render_values_t *values,
                         render_place_t place);
/** The same JSON with variables in its strings filled in; a new reference. */
json_t *render_json(const json_t *json, render_values_t *values);

/* --- header fields (mg_render_field.c) --- */

typedef struct render_field_t render_field_t;

/** A field of the message's own header block, h decoded; NULL: it holds no
 * variables we would fill in. */
render_field_t *render_field_parse(const mg_header_t *h, apr_pool_t *p);
/** To: the recipient. */
render_field_t *render_field_own_to(apr_pool_t *p);
void render_field_put(mime_sink_t *sink, const render_field_t *field,
                      render_values_t *values);

/* --- what tracking puts in (mg_render_track.c) --- */

/** What of a text is to be tracked: the plan's numbers for it.
 *
 *     {"n": octets of the text, "r": as it came, "l": [offset, length, ...],
 *      "p": where the pixel goes, "f": where the footer goes}
 *
 * "r" 1: the text is the part's octets, in its own charset; 0: in UTF-8, for
 * it has variables, or a charset that does not hold ASCII.
 *
 * @param variables  it has some
 * @param pixel, footer, links  what is wanted
 * @param pwhy  why it is left alone; untouched if it is not
 * @return NULL: nothing of it is
 */
json_t *render_track_find(const mime_entity_t *e, int variables, int pixel,
                          int footer, int links, const char **pwhy,
                          apr_pool_t *p);
/** The text of a part that is tracked so, cut into tokens; NULL: the numbers do
 * not fit the text. */
apr_array_header_t *render_track_tokens(const json_t *numbers,
                                        const mime_entity_t *e, int *praw,
                                        apr_pool_t *p);
/** What goes in for RENDER_LINK and on, as it is written; NULL: the token's own
 * text. */
const char *render_track_value(const render_token_t *token,
                               render_values_t *values, render_place_t place);
/** List-Unsubscribe and List-Unsubscribe-Post. */
void render_track_fields(mime_sink_t *sink, render_values_t *values);

/** It holds one of our variables for unsubscribing (mg_link_text.c). */
int link_is_ours(const char *s, apr_size_t len, apr_pool_t *p);

/* --- which parts are looked through (mg_render_scan.c) --- */

/** Its text may hold variables. */
int render_is_text(const mime_entity_t *e);
/** In UTF-8, whatever it was. */
const char *render_decode(apr_size_t *plen, const mime_entity_t *e,
                          apr_pool_t *p);

/* --- templates (mg_render_template.c) --- */

/** mg_render_whole() with this plan. */
apr_status_t mg_render_by_plan(const char **pbytes, apr_size_t *plen,
                               const json_t *plan, const mg_render_for_t *who,
                               const char *bytes, apr_size_t len,
                               apr_pool_t *p);

#endif
