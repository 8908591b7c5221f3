/* mg_client.h - what a User-Agent field says of who opened or clicked.
 *
 * A table of words that stand in such fields (RFC 9110 10.1.5), the telling
 * ones first; no attempt is made at versions. Whoever sends the field may say
 * what he likes: this is for statistics and for telling machines from people,
 * and for nothing that matters.
 *
 *   client_type   browser, mobile browser, email client, robot, library, other,
 *                 unknown
 *   client_name   "Chrome", "Outlook", "Gmail" (through Google's image proxy)
 *   client_os     "Windows", "OS X", "iOS", "Android", "Linux" ...
 *   device_type   desktop, mobile, tablet, other, unknown
 */
#ifndef MG_CLIENT_H
#define MG_CLIENT_H

typedef struct {
    const char *type, *name, *os, *device;  /* never NULL; "unknown" */
    int machine;    /* a scanner, a robot, a library, a mail proxy that fetches
                       whether anybody looks or not; or nobody said who */
} mg_client_t;

/** @param user_agent  as it came, at most MG_USER_AGENT_MAX octets of it are
 *                     looked at; NULL or "": none was sent */
void mg_client_read(mg_client_t *client, const char *user_agent);
#define MG_USER_AGENT_MAX 512

#endif
