/* mg_reply.h - what a person wrote, without what was quoted (manual, "Routes":
 * stripped-text, stripped-signature, stripped-html).
 *
 * Text. Quotes are found by what mail clients put before them: a line that says
 * who wrote when ("On … wrote:", in some thirty languages), "-----Original
 * Message-----", a block of From:, Sent:, To:, Subject:; and by lines that begin
 * with ">".
 *
 *   reply above the quote       the quote goes
 *   reply below the quote       the quote goes
 *   replies between quotes      all stays: they say nothing without them
 *   a forwarded message         is not quoted: it stays, as does all behind it
 *
 * The signature is what follows "-- ", or a closing ("Best regards,"), or a line
 * that a phone adds ("Sent from my iPhone"), or a last block that has the shape
 * of one (short lines, a phone number or an address, or the sender's name).
 *
 * Html. The containers go in which clients quote, with the line above that says
 * who wrote; all else stays octet for octet.
 */
#ifndef MG_REPLY_H
#define MG_REPLY_H

#include <apr_pools.h>

/** What is longer is left as it is. */
#define MG_REPLY_MAX (2 * 1024 * 1024)

/**
 * Any thread.
 *
 * @param ptext, psignature  valid UTF-8, without blanks around; "": nothing
 * @param body  valid UTF-8
 * @param from  the From field, decoded: whose name may be the signature; or NULL
 */
void mg_reply_strip_text(const char **ptext, const char **psignature,
                         const char *body, const char *from, apr_pool_t *p);
/** @param html  valid UTF-8 @return html itself if there is no quote */
const char *mg_reply_strip_html(const char *html, apr_pool_t *p);

#endif
