/* mg_track_private.h - between the files of tracking tokens. */
#ifndef MG_TRACK_PRIVATE_H
#define MG_TRACK_PRIVATE_H

#include "mg_track.h"

/* What a derived key is for; part of what it is derived from. */
#define MG_TRACK_FOR_LINK "mailgun tracking link"
#define MG_TRACK_FOR_MAIL "mailgun tracking mail"
#define MG_TRACK_FOR_RECIPIENT "mailgun tracking recipient"

/** The secret that signs; 0: there is none. */
int mg_track_newest(const mg_track_keys_t *keys);
/** @return MG_EDENIED: no such secret */
apr_status_t mg_track_derive(unsigned char key[32],
                             const mg_track_keys_t *keys, int id,
                             const char *purpose, apr_int64_t domain_id);

#endif
