/* mg_track.c - tokens of tracking links, made and read. */
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_track_private.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>

#define VERSION 1
#define MAC_LEN 16
#define HEAD_LEN 18                  /* up to the ids */
#define LINK_MAX (HEAD_LEN + 1 + MG_TRACK_RECIPIENT_MAX + MG_TRACK_TEXT_MAX \
                  + MAC_LEN)
#define LINK_MIN (HEAD_LEN + 2 + MAC_LEN)
#define TAG_BREAK '\n'               /* no tag has one */

#define MAIL_PREFIX "u+"
#define MAIL_LEN 32
#define MAIL_CHARS 52                /* 32 octets, base32 */

static void put_int(unsigned char *out, apr_int64_t value)
{
    int i;

    for (i = 0; i < 8; i++)
        out[i] = (unsigned char)((apr_uint64_t)value >> (56 - 8 * i));
}

static apr_int64_t get_int(const unsigned char *in)
{
    apr_uint64_t value = 0;
    int i;

    for (i = 0; i < 8; i++)
        value = value << 8 | in[i];
    return (apr_int64_t)value;
}

/* --- what a token may say --- */

static int has_control(const char *text, int except)
{
    const unsigned char *c;

    for (c = (const unsigned char *)text; *c; c++)
        if ((*c < 0x20 || *c == 0x7f) && *c != except)
            return 1;
    return 0;
}

static int is_url(const char *text)
{
    const char *rest = !strncasecmp(text, "http://", 7) ? text + 7
                       : !strncasecmp(text, "https://", 8) ? text + 8 : "";

    return *rest && *rest != '/' && !has_control(text, -1);
}

static int is_sound(const mg_track_t *track, const char *text)
{
    if (!*track->recipient || has_control(track->recipient, -1))
        return 0;
    switch (track->kind) {
    case MG_TRACK_CLICK:
        return is_url(text);
    case MG_TRACK_UNSUBSCRIBE_TAGS:
        return !has_control(text, TAG_BREAK);
    case MG_TRACK_UNSUBSCRIBE_LIST:
        return *text && !has_control(text, -1);
    case MG_TRACK_OPEN:
    case MG_TRACK_UNSUBSCRIBE:
        return !*text;
    }
    return 0;
}

char mg_track_letter(mg_track_kind_t kind)
{
    return kind == MG_TRACK_OPEN ? 'o' : kind == MG_TRACK_CLICK ? 'c' : 'u';
}

char *mg_track_tags(const apr_array_header_t *tags, apr_pool_t *p)
{
    return tags && tags->nelts ? apr_array_pstrcat(p, tags, TAG_BREAK) : NULL;
}

apr_array_header_t *mg_track_tags_of(const char *text, apr_pool_t *p)
{
    apr_array_header_t *tags = apr_array_make(p, 3, sizeof(char *));

    while (text && *text) {
        apr_size_t n = strcspn(text, "\n");

        if (n)
            APR_ARRAY_PUSH(tags, const char *) = apr_pstrmemdup(p, text, n);
        text += n + (text[n] != '\0');
    }
    return tags;
}

/* --- links --- */

apr_status_t mg_track_make(char **ptoken, const mg_track_keys_t *keys,
                           const mg_track_t *track, apr_pool_t *p)
{
    unsigned char raw[LINK_MAX], key[32], mac[32], *out = raw;
    const char *text = track->text ? track->text : "";
    apr_size_t text_len = strlen(text), len = strlen(track->recipient);
    int id = mg_track_newest(keys);

    *ptoken = NULL;
    if (len > MG_TRACK_RECIPIENT_MAX || text_len > MG_TRACK_TEXT_MAX
        || !is_sound(track, text))
        return MG_EBADINPUT;
    if (mg_track_derive(key, keys, id, MG_TRACK_FOR_LINK, track->domain_id)
        != APR_SUCCESS)
        return MG_ECRYPT;
    *out++ = (unsigned char)(VERSION << 4 | track->kind);
    *out++ = (unsigned char)id;
    put_int(out, track->domain_id);
    put_int(out + 8, track->message_id);
    out += 16;
    *out++ = (unsigned char)len;
    memcpy(out, track->recipient, len);
    memcpy(out + len, text, text_len);
    out += len + text_len;
    mg_hmac_sha256(mac, key, sizeof(key), raw, (apr_size_t)(out - raw));
    memcpy(out, mac, MAC_LEN);
    *ptoken = mg_text_base64url(raw, (apr_size_t)(out - raw) + MAC_LEN, p);
    return APR_SUCCESS;
}

/* The text of a believed token. NUL would end it too early. */
static apr_status_t take_text(mg_track_t *track, const unsigned char *at,
                              apr_size_t len, apr_pool_t *p)
{
    apr_size_t n = at[0];

    if (n + 1 > len || memchr(at + 1, '\0', len - 1))
        return APR_ENOENT;
    track->recipient = apr_pstrmemdup(p, (const char *)at + 1, n);
    track->text = apr_pstrmemdup(p, (const char *)at + 1 + n, len - 1 - n);
    return is_sound(track, track->text) ? APR_SUCCESS : APR_ENOENT;
}

apr_status_t mg_track_read(mg_track_t *track, const mg_track_keys_t *keys,
                           const char *token, apr_pool_t *p)
{
    unsigned char raw[LINK_MAX], key[32], mac[32];
    int len = mg_text_unbase64url(raw, sizeof(raw), token);
    apr_size_t signed_len;

    memset(track, 0, sizeof(*track));
    if (len < LINK_MIN || raw[0] >> 4 != VERSION)
        return APR_ENOENT;
    signed_len = (apr_size_t)len - MAC_LEN;
    track->kind = raw[0] & 15;
    track->domain_id = get_int(raw + 2);
    track->message_id = get_int(raw + 10);
    if (mg_track_derive(key, keys, raw[1], MG_TRACK_FOR_LINK,
                        track->domain_id) != APR_SUCCESS)
        return MG_EDENIED;
    mg_hmac_sha256(mac, key, sizeof(key), raw, signed_len);
    if (!mg_text_same_secret(mac, raw + signed_len, MAC_LEN))
        return MG_EDENIED;
    return take_text(track, raw + HEAD_LEN, signed_len - HEAD_LEN, p);
}

apr_status_t mg_track_url(char **purl, const mg_track_keys_t *keys,
                          const mg_track_t *track, const char *scheme,
                          const char *host, apr_pool_t *p)
{
    const char letter[2] = { mg_track_letter(track->kind), '\0' };
    char *token;
    apr_status_t rv = mg_track_make(&token, keys, track, p);

    *purl = NULL;
    if (rv == APR_SUCCESS)
        *purl = apr_pstrcat(p, scheme, "://", host, "/", letter, "/", token,
                            NULL);
    return rv;
}

/* --- by mail --- */

static apr_status_t recipient_tag(unsigned char tag[6],
                                  const mg_track_keys_t *keys, int id,
                                  const mg_track_mail_t *mail,
                                  const char *address)
{
    unsigned char key[32], mac[32];
    char text[8 + MG_TRACK_RECIPIENT_MAX];
    apr_size_t len = strlen(address), i;

    if (len > MG_TRACK_RECIPIENT_MAX)
        return MG_EBADINPUT;
    if (mg_track_derive(key, keys, id, MG_TRACK_FOR_RECIPIENT,
                        mail->domain_id) != APR_SUCCESS)
        return MG_ECRYPT;
    put_int((unsigned char *)text, mail->message_id);
    for (i = 0; i < len; i++)
        text[8 + i] = (char)apr_tolower(address[i]);
    mg_hmac_sha256(mac, key, sizeof(key), text, 8 + len);
    memcpy(tag, mac, 6);
    return APR_SUCCESS;
}

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

apr_status_t mg_track_mail_make(char **plocal, const mg_track_keys_t *keys,
                                const mg_track_t *track, apr_pool_t *p)
{
    mg_track_mail_t mail = { .domain_id = track->domain_id,
                             .message_id = track->message_id };
    unsigned char raw[MAIL_LEN + 1], key[32], mac[32];
    int id = mg_track_newest(keys), bit;
    char text[MAIL_CHARS + 1], *out = text;
    apr_status_t rv;

    *plocal = NULL;
    if (mg_track_derive(key, keys, id, MG_TRACK_FOR_MAIL, track->domain_id)
        != APR_SUCCESS)
        return MG_ECRYPT;
    raw[0] = (unsigned char)(VERSION << 4 | track->kind);
    raw[1] = (unsigned char)id;
    put_int(raw + 2, track->message_id);
    rv = recipient_tag(raw + 10, keys, id, &mail, track->recipient);
    if (rv != APR_SUCCESS)
        return rv;
    mg_hmac_sha256(mac, key, sizeof(key), raw, MAIL_LEN - MAC_LEN);
    memcpy(raw + MAIL_LEN - MAC_LEN, mac, MAC_LEN);
    raw[MAIL_LEN] = 0;
    for (bit = 0; bit < MAIL_LEN * 8; bit += 5) {
        unsigned int two = (unsigned int)raw[bit / 8] << 8 | raw[bit / 8 + 1];

        *out++ = base32[two >> (11 - bit % 8) & 31];
    }
    *out = '\0';
    *plocal = apr_pstrcat(p, MAIL_PREFIX, text, NULL);
    return APR_SUCCESS;
}

/* 52 letters of base32, 256 bits and four that are 0; 0: they are none. */
static int decode_mail(unsigned char raw[MAIL_LEN + 1], const char *text)
{
    const char *at;
    int i, bit;

    memset(raw, 0, MAIL_LEN + 1);
    for (i = 0, bit = 0; i < MAIL_CHARS; i++, bit += 5) {
        unsigned int two;

        if (!text[i] || !(at = strchr(base32, apr_tolower(text[i]))))
            return 0;
        two = (unsigned int)(at - base32) << (11 - bit % 8);
        raw[bit / 8] |= (unsigned char)(two >> 8);
        raw[bit / 8 + 1] |= (unsigned char)two;
    }
    return !text[MAIL_CHARS] && !raw[MAIL_LEN];
}

apr_status_t mg_track_mail_read(mg_track_mail_t *mail,
                                const mg_track_keys_t *keys,
                                apr_int64_t domain_id, const char *local)
{
    unsigned char raw[MAIL_LEN + 1], key[32], mac[32];

    memset(mail, 0, sizeof(*mail));
    if (strncasecmp(local, MAIL_PREFIX, sizeof(MAIL_PREFIX) - 1) != 0
        || !decode_mail(raw, local + sizeof(MAIL_PREFIX) - 1)
        || raw[0] >> 4 != VERSION || (raw[0] & 15) < MG_TRACK_UNSUBSCRIBE
        || (raw[0] & 15) > MG_TRACK_UNSUBSCRIBE_LIST)
        return APR_ENOENT;
    if (mg_track_derive(key, keys, raw[1], MG_TRACK_FOR_MAIL, domain_id)
        != APR_SUCCESS)
        return MG_EDENIED;
    mg_hmac_sha256(mac, key, sizeof(key), raw, MAIL_LEN - MAC_LEN);
    if (!mg_text_same_secret(mac, raw + MAIL_LEN - MAC_LEN, MAC_LEN))
        return MG_EDENIED;
    mail->kind = raw[0] & 15;
    mail->key_id = raw[1];
    mail->domain_id = domain_id;
    mail->message_id = get_int(raw + 2);
    memcpy(mail->recipient_tag, raw + 10, sizeof(mail->recipient_tag));
    return APR_SUCCESS;
}

int mg_track_mail_is_for(const mg_track_mail_t *mail,
                         const mg_track_keys_t *keys, const char *address)
{
    unsigned char tag[6];

    return recipient_tag(tag, keys, mail->key_id, mail, address)
               == APR_SUCCESS
           && mg_text_same_secret(tag, mail->recipient_tag, sizeof(tag));
}
