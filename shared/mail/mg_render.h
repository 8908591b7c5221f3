/* mg_render.h - the copy for one recipient, made as it goes out (design 9).
 *
 * So far a copy is: the header lines we put on top (X-Mailgun-Sid) and the
 * stored content. Variables, tracking, footers and DKIM come in here.
 */
#ifndef MG_RENDER_H
#define MG_RENDER_H

#include "mg_queue.h"

/** Header lines, CRLF, that go before the stored content. */
char *mg_render_top(const mg_message_t *message, const mg_delivery_t *delivery,
                    apr_pool_t *p);
#endif
