/* mg_track.h - the tokens of tracking links (design 11).
 *
 *     http://email.<domain>/o/<token>   the pixel
 *     http://email.<domain>/c/<token>   a link of the message
 *     http://email.<domain>/u/<token>   unsubscribe
 *     u+<token>@<domain>                unsubscribe by mail
 *
 * A token is the whole link: what happened, whose message it was, to whom it
 * went, and where to go on; nothing is looked up to believe it. It is signed,
 * not hidden: who decodes it reads the address and the link that its recipient
 * has before him anyway. The recipient's address stands in it and not a number,
 * because a number needs a row to be understood, and links outlive rows.
 *
 *   octets  of a link, base64url without padding (RFC 4648 5)
 *     1     version (4 bits), kind (4 bits)
 *     1     id of the secret that signed it
 *     8     domain id          8  message id
 *     1     length of the recipient's address, the address
 *           text: the URL, or the tags, or the list's address
 *    16     HMAC-SHA256 over all of the above, cut
 *
 *   octets  of a local part, base32 in any case (RFC 4648 6): 54 of the 64
 *           characters that RFC 5321 4.5.3.1.1 allows
 *     1     version, kind      1  id of the secret
 *     8     message id         6  HMAC of the recipient's address, cut
 *    16     HMAC-SHA256 over all of the above, cut
 *
 * The key of an HMAC is HKDF-SHA256(secret; purpose, domain id, id of the
 * secret): a link of one domain is no link of another. Secrets are a file of
 * their own (MailgunTrackingSecretFile), which httpd may read: who has it can
 * make links, and open nothing. The newest signs, all verify.
 *
 * A token has one spelling only: what decodes to the same octets but is
 * written otherwise is refused.
 */
#ifndef MG_TRACK_H
#define MG_TRACK_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef enum {
    MG_TRACK_OPEN = 1,
    MG_TRACK_CLICK,
    MG_TRACK_UNSUBSCRIBE,       /* all mail of the domain */
    MG_TRACK_UNSUBSCRIBE_TAGS,  /* mail with the message's tags */
    MG_TRACK_UNSUBSCRIBE_LIST   /* a mailing list */
} mg_track_kind_t;

typedef struct {
    mg_track_kind_t kind;
    apr_int64_t domain_id, message_id;
    const char *recipient;      /* bare address, <= MG_TRACK_RECIPIENT_MAX */
    const char *text;           /* click: the URL, http: or https:, without
                                   control characters; tags: mg_track_tags();
                                   list: its address; else NULL or "" */
} mg_track_t;

#define MG_TRACK_RECIPIENT_MAX 255
/** Longer links are left as they are: with everything around it the request
 * line has to fit into what servers take (httpd: 8190). */
#define MG_TRACK_TEXT_MAX 4096

/* --- secrets (mg_track_key.c) --- */

#define MG_TRACK_SECRETS_MAX 255

typedef struct mg_track_keys_t mg_track_keys_t;
/** A file with one secret, 0640. @return APR_EEXIST: it is there, and good;
 * MG_ECRYPT: it is there, and damaged */
apr_status_t mg_track_keys_create(const char *path, apr_pool_t *p);
/** One more secret, which signs from now on; owner and mode stay.
 * @param forget  0, or the oldest so many are taken out: their links are dead
 * @param pid  of the new one
 * @return MG_ELIMIT: there have been MG_TRACK_SECRETS_MAX */
apr_status_t mg_track_keys_rotate(int *pid, const char *path, int forget,
                                  apr_pool_t *p);
/** *pkeys is set even if the file could not be read: then nothing can be
 * signed, nothing is believed, and it is looked for again. A file that changed
 * is read again within a second or so. Any thread may use it. */
apr_status_t mg_track_keys_load(mg_track_keys_t **pkeys, const char *path,
                                apr_pool_t *p);

/* --- links --- */

/** @return MG_EBADINPUT: too long, or no URL that a browser may be sent to: the
 *          link stays as it is; MG_ECRYPT: there is no secret */
apr_status_t mg_track_make(char **ptoken, const mg_track_keys_t *keys,
                           const mg_track_t *track, apr_pool_t *p);
/** track lives in p.
 * @return APR_ENOENT: no token of ours, or cut; MG_EDENIED: forged, or its
 *         secret is forgotten */
apr_status_t mg_track_read(mg_track_t *track, const mg_track_keys_t *keys,
                           const char *token, apr_pool_t *p);
/** 'o', 'c', 'u': what stands before the token of that kind. */
char mg_track_letter(mg_track_kind_t kind);
/** "https://email.a.test/c/<token>"; scheme and host as
 * MailgunTrackingScheme and mg_config_tracking_host() say.
 * @return as mg_track_make() */
apr_status_t mg_track_url(char **purl, const mg_track_keys_t *keys,
                          const mg_track_t *track, const char *scheme,
                          const char *host, apr_pool_t *p);
/** Tags (array of const char *) as text, and back; NULL: of none. */
char *mg_track_tags(const apr_array_header_t *tags, apr_pool_t *p);
apr_array_header_t *mg_track_tags_of(const char *text, apr_pool_t *p);

/* --- unsubscribing by mail --- */

typedef struct {
    mg_track_kind_t kind;       /* one of MG_TRACK_UNSUBSCRIBE*; which tags or
                                   list says the message */
    apr_int64_t domain_id, message_id;
    int key_id;                 /* for mg_track_mail_is_for() */
    unsigned char recipient_tag[6];
} mg_track_mail_t;

/** The local part, "u+...", 54 characters; text counts for nothing.
 * @return MG_ECRYPT: there is no secret */
apr_status_t mg_track_mail_make(char **plocal, const mg_track_keys_t *keys,
                                const mg_track_t *track, apr_pool_t *p);
/** @param domain_id  of the address's domain
 *  @return APR_ENOENT: no such local part; MG_EDENIED: forged */
apr_status_t mg_track_mail_read(mg_track_mail_t *mail,
                                const mg_track_keys_t *keys,
                                apr_int64_t domain_id, const char *local);
/** Was it made for that recipient, in any case of letters? Ask for who wrote
 * the mail first, then for the recipients of the message's events. */
int mg_track_mail_is_for(const mg_track_mail_t *mail,
                         const mg_track_keys_t *keys, const char *address);

#endif
