/* mg_link.h - the links of a text, by where they stand.
 *
 * html is read by gumbo (HTML5): href of <a> and <area>. A link is left alone
 * where it is no http: or https: URL, where its element has disable-tracking
 * (any value but no, false, 0, off), where it holds one of our variables for
 * unsubscribing, and where it is none: in comments (Outlook's conditional ones
 * too), <style>, <script>, <textarea>, <template>, SVG.
 *
 * In text a link begins with http:// or https:// where no letter or digit is
 * before it, and ends before a blank, < > " or the end; what follows a link in
 * a sentence (. , : ; ! ? ' * _ ~ and brackets that were not opened in it) is
 * not part of it. One that runs into a character beyond ASCII is left alone:
 * where it ends cannot be told.
 *
 * Positions are octets of the text as it came, in its own charset. What is cut
 * out and put in there is ASCII, so the charset must have ASCII's octets for
 * ASCII wherever a link stands: mg_link_shadow() knows.
 *
 * gumbo takes 100 us for a kilobyte, and on hostile input the square of it: it
 * is given so much processor time and memory, and no more.
 */
#ifndef MG_LINK_H
#define MG_LINK_H

#include <apr_pools.h>
#include <apr_tables.h>

#define MG_LINK_HTML_MAX (256 * 1024)
#define MG_LINKS_MAX 1000              /* of a text */
#define MG_LINK_TARGET_MAX 4096        /* octets of a URL */

typedef struct {
    apr_size_t offset, len;
} mg_link_t;

typedef struct {
    apr_array_header_t *links;  /* of mg_link_t, in order */
    apr_size_t end;             /* where something is added: before </body>, or
                                   the end of the text */
    const char *why;            /* it was not looked through: why; or NULL */
} mg_links_t;

/**
 * The text with all that is not ASCII as 0x7f, octet by octet.
 *
 * @param charset   NULL: UTF-8
 * @param pshifted  it ends within an escape of ISO-2022: nothing can be added
 * @return NULL: in this charset ASCII's octets do not stand for ASCII (UTF-16,
 *         UTF-7)
 */
char *mg_link_shadow(int *pshifted, const char *charset, const char *text,
                     apr_size_t len, apr_pool_t *p);

/** @param shadow  mg_link_shadow()'s */
void mg_links_html(mg_links_t *found, const char *shadow, apr_size_t len,
                   apr_pool_t *p);
void mg_links_text(mg_links_t *found, const char *shadow, apr_size_t len,
                   apr_pool_t *p);

/** Character references of an attribute's value, those that URLs have; others
 * stay as they are. UTF-8. */
char *mg_link_unescape(const char *value, apr_size_t len, apr_pool_t *p);
/**
 * Where a link leads: blanks around it cut, line breaks and tabs within taken
 * out (WHATWG URL 4.4), what no URL may hold percent-encoded.
 *
 * @param url  UTF-8, with its variables filled in
 * @return NULL: no http: or https: URL, or too long
 */
char *mg_link_target(const char *url, apr_pool_t *p);

#endif
