/* mg_render.h - the copy for one recipient, made as it goes out (design 9).
 *
 * The queue holds a message once. Where it holds %variables%, or each
 * recipient is to see its own address alone in To, it is a template: it is
 * looked through when it is accepted (mg_render_scan), where its variables
 * stand is kept in the message's options ("template"), and each copy is
 * rendered from there as it goes out (mg_template, mg_render_copy). The same
 * recipient gets the same octets each time.
 *
 *   %recipient%         Bob Lee <bob@x>          %recipient_fname%  Bob
 *   %recipient_name%    Bob Lee                  %recipient_lname%  Lee
 *   %recipient_email%   bob@x                    %recipient.key%    the value
 *                                   of key in this delivery's variables (JSON)
 *   %unsubscribe_url% %tag_unsubscribe_url% %mailing_list_unsubscribe_url%
 *   %unsubscribe_email%             mg_render_link.c
 *
 * fname is the name's first word, lname what follows it; without a name all
 * three are empty. A %recipient.key% that this recipient has no value for stays
 * as it is, as does everything else between percent signs. A value is never
 * looked through again.
 *
 * Where they are looked for: the message's header fields but those that say
 * what the body is or how the message came (Content-*, MIME-Version,
 * Message-Id, Date, Received ...), and its text parts (text/<any> without a
 * file name and not "attachment"), whatever their transfer encoding, of up to
 * MG_RENDER_TEXT_MAX octets each. Never in attachments, in message/rfc822, in
 * multipart/signed and multipart/encrypted. What holds no variable goes out
 * byte for byte.
 *
 * How a value is written, by place:
 *   text                as it is, valid UTF-8
 *   text/html           & < > " ' escaped
 *   a header field      one line (CR, LF, NUL and other controls are blanks),
 *                       encoded words where needed (RFC 2047)
 *   To, Cc, From, Sender, Reply-To, Resent-*   in a name: quoted or encoded; in
 *                       an address: without what could end it
 *   X-Mailgun-Variables within JSON strings, escaped
 * A text part keeps its charset where that has all characters, else it becomes
 * UTF-8; it keeps quoted-printable or base64; what was 7bit or 8bit becomes
 * quoted-printable or base64 where it must. Lines are at most 998 octets.
 */
#ifndef MG_RENDER_H
#define MG_RENDER_H

#include <apr_file_io.h>
#include "mg_json.h"
#include "mg_list_copy.h"
#include "mg_mime.h"
#include "mg_queue.h"
#include "mg_track.h"
#include "mg_tracking.h"

/* --- when a message is accepted ---
 *
 * Whoever takes a message over (API, SMTP, list posts) calls this on the
 * content exactly as it will be stored, before mg_options_json():
 *
 *     rv = mg_render_check(options->options, &error, flags, &track, bytes,
 *                          len, p);
 *     if (rv == MG_EBADINPUT)  -> 400 "<error>", 550 5.6.0 <error>
 *
 * It sets "template" in options if the message is one, and nothing else.
 * "batch" is set by who parsed the recipient variables. Content that is not in
 * one piece is fed to mg_render_scan_feed() in its order, in pieces of any
 * size, best as it is written to the store: a piece of 512 KB takes < 5 ms.
 * No thread but its own uses a scan; different scans may run at once.
 */

#define MG_RENDER_TEXT_MAX (512 * 1024)  /* of one text part, encoded */
#define MG_RENDER_SPOTS_MAX 64           /* parts with variables */

/** To becomes the recipient alone, in each copy: for messages that the API
 * composed, with recipient-variables. In MIME and SMTP mail To is the sender's
 * own affair: there it is `To: %recipient%` that does this. */
#define MG_RENDER_OWN_TO 1

/** What is to be tracked. Links, pixel and footers are tokens of the template
 * then, too: where they go is kept with the plan. The pixel and the html footer
 * go into the first text/html, the text footer into the first text/plain;
 * footers nowhere, if a text has a variable for unsubscribing already. */
typedef struct {
    mg_tracking_t tracking;
    const char *left_alone;  /* why some text is (mg_link.h); NULL: none is */
} mg_render_track_t;

typedef struct mg_render_scan_t mg_render_scan_t;

/** @param track  NULL: nothing; lives as long as the scan */
mg_render_scan_t *mg_render_scan_begin(int flags, mg_render_track_t *track,
                                       apr_pool_t *p);
void mg_render_scan_feed(mg_render_scan_t *scan, const char *bytes,
                         apr_size_t len);
/** @return MG_EBADINPUT with *perror in words: variables where they cannot be
 *          filled in (parts too deep, too many) */
apr_status_t mg_render_scan_end(mg_render_scan_t *scan, json_t *options,
                                const char **perror);

/** The same on content in one piece. */
apr_status_t mg_render_check(json_t *options, const char **perror, int flags,
                             mg_render_track_t *track, const char *bytes,
                             apr_size_t len, apr_pool_t *p);
/** The same on size octets of a file, from its beginning. The file's position
 * is moved. @return also an error of reading */
apr_status_t mg_render_check_file(json_t *options, const char **perror,
                                  int flags, mg_render_track_t *track,
                                  apr_file_t *file, apr_int64_t size,
                                  apr_pool_t *p);

/* --- when a copy goes out --- */

/** How a domain's links are made. */
typedef struct {
    const mg_track_keys_t *keys;
    const char *scheme, *host;               /* of its tracking host */
    const char *footer_html, *footer_text;   /* or NULL */
    int only_variables;   /* those are filled in; nothing is tracked: what a route
                           * forwards */
} mg_render_links_t;

/** Whose copy: all that variables can name. */
typedef struct {
    const mg_message_t *message;
    const mg_delivery_t *delivery;
    const char *domain;   /* the sending domain's name; "" if it is gone */
    const mg_render_links_t *links; /* NULL: none are made, those that are there
                                     * stay, as do variables for unsubscribing */
    const mg_list_copy_t *list; /* it is a mailing list's; NULL */
} mg_render_for_t;

/** len octets of the stored content from offset on, living as long as p. */
typedef apr_status_t mg_render_read_fn(const char **pbytes,
                                       apr_int64_t offset, apr_size_t len,
                                       void *baton, apr_pool_t *p);

typedef struct mg_template_t mg_template_t;
/**
 * Once per message. Reads only the parts that hold variables.
 * @param plan  "template" of the message's options
 * @return MG_EBADINPUT: the plan does not fit the content (damaged); else
 *         read's error
 */
apr_status_t mg_template_parse(mg_template_t **ptemplate, const json_t *plan,
                               apr_int64_t size, mg_render_read_fn *read,
                               void *baton, apr_pool_t *p);
/** Octets it holds in memory, about; a copy takes as much or a little more. */
apr_size_t mg_template_memory(const mg_template_t *t);

/** A copy is pieces one after the other: of memory, or of stored content. */
typedef struct {
    const char *bytes;    /* NULL: stored content from offset on */
    apr_int64_t offset, len;
} mg_render_piece_t;

typedef struct {
    apr_array_header_t *pieces;  /* of mg_render_piece_t */
    int nhead;                   /* how many of them are the header block, with
                                  * the empty line that ends it; all in memory */
    apr_int64_t size;
    int eight_bit;               /* a piece of memory has octets above 127 */
    int unsigned_links;          /* links are missing: there is no secret */
} mg_render_copy_t;
/** Pieces live in p and in the template.
 * @return MG_ELIMIT: a text would be over 2 MB with its values filled in, or
 *         all texts and fields that hold variables over 4 MB */
apr_status_t mg_render_copy(mg_render_copy_t *copy, const mg_template_t *t,
                            const mg_render_for_t *who, apr_pool_t *p);

/** The whole copy in one piece, for who has all the content in memory (route
 * posts). bytes itself if options have no template. */
apr_status_t mg_render_whole(const char **pbytes, apr_size_t *plen,
                             const mg_render_for_t *who, const char *bytes,
                             apr_size_t len, apr_pool_t *p);

/** The header block of the copy, where bytes are the content's beginning (its
 * first slice is enough): for who shows the fields. bytes itself if options
 * have no template, or if it does not fit. */
void mg_render_head(const char **pbytes, apr_size_t *plen,
                    const mg_render_for_t *who, const char *bytes,
                    apr_size_t len, apr_pool_t *p);

/** Header lines, CRLF, that go before the stored content: a list's too.
 * who->delivery NULL: of a copy that several recipients share; it names none
 * of them. */
char *mg_render_top(const mg_render_for_t *who, apr_pool_t *p);
/** A mailing list's alone (mg_list_copy.h); "" where it is none's. */
const char *mg_render_list_fields(const mg_render_for_t *who, apr_pool_t *p);

/** Are the addresses of a From or Sender in that domain whatever values are
 * filled in, if they are as the field stands? */
int mg_render_keeps_domain(const mg_header_t *field, const char *domain,
                           apr_pool_t *p);

/** The message's variables (v:) as this recipient's: JSON object, or NULL if
 * there are none. For events and webhooks. */
const char *mg_render_variables(const mg_render_for_t *who, apr_pool_t *p);
/** A line of text (the subject) as this recipient's: for the log. */
const char *mg_render_line(const char *line, const mg_render_for_t *who,
                           apr_pool_t *p);

/* --- links (mg_render_link.c) ---
 *
 * Where unsubscribe variables lead: signed links (mg_track.h). Without tags, or
 * a mailing list, they are those of the whole domain. NULL: none can be made. */
typedef enum {
    MG_LINK_UNSUBSCRIBE,        /* all mail of the domain */
    MG_LINK_UNSUBSCRIBE_TAG,    /* the message's tags */
    MG_LINK_UNSUBSCRIBE_LIST,   /* the mailing list */
    MG_LINK_UNSUBSCRIBE_EMAIL,  /* an address: u+<token>@<domain> */
    MG_LINK_UNSUBSCRIBE_LIST_EMAIL /* the mailing list's */
} mg_link_kind_t;
const char *mg_render_link(mg_link_kind_t kind, const mg_render_for_t *who,
                           apr_pool_t *p);
#endif
