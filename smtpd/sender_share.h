/* sender_share.h - how large a sending domain's share is (MailgunShare). */
#ifndef SENDER_SHARE_H
#define SENDER_SHARE_H

#include "sender.h"

/** 1 where nothing else is said. */
int sender_share(sender_t *s, apr_int64_t domain_id);
#endif
