/* mg_text.h - text as the store and the wire want it. */
#ifndef MG_TEXT_H
#define MG_TEXT_H

#include <apr_pools.h>
#include <apr_tables.h>

/** Valid UTF-8 without NUL: bad bytes become U+FFFD. NULL stays NULL. Every
 * text that goes into the store passes here (PostgreSQL refuses the rest). */
const char *mg_text_clean(const char *s, apr_size_t len, apr_pool_t *p);
int mg_text_is_utf8(const char *s, apr_size_t len);
/** How many octets from s on are 0x20 to 0x7e, as far as whole words of eight
 * are: the fast way over plain text. */
apr_size_t mg_text_printable_span(const char *s, apr_size_t len);
/** Is any octet over 127? */
int mg_text_has_eight_bit(const char *s, apr_size_t len);
/** ASCII lower case; other bytes stay. */
char *mg_text_lower(const char *s, apr_pool_t *p);
/** True if s holds CR, LF or NUL within len: never part of a header. */
int mg_text_breaks_header(const char *s, apr_size_t len);
char *mg_text_hex(const void *data, apr_size_t len, apr_pool_t *p);
char *mg_text_base64url(const void *data, apr_size_t len, apr_pool_t *p);
/** The octets that mg_text_base64url() made text of; without padding, in its
 * one spelling. @return how many; -1: it is none, or they have no room */
int mg_text_unbase64url(void *out, apr_size_t room, const char *text);
/** Compare in time that depends on len only. */
int mg_text_same_secret(const void *a, const void *b, apr_size_t len);
/** "yes/no/true/false/1/0/on/off/" (any case, empty is false) or -1. */
int mg_text_bool(const char *s);
/** "26214400", "25M", "64k". @return MG_EBADINPUT */
apr_status_t mg_text_size(apr_int64_t *pbytes, const char *s);
/** "5", "5.0", "-0.25": a decimal number within a million; what is behind its
 * third decimal is cut off. @return MG_EBADINPUT */
apr_status_t mg_text_thousandths(int *pn, const char *s);
/** "30s", "5m", "1h30m", "3d", "250ms"; a bare number is seconds. */
apr_status_t mg_text_duration(apr_interval_time_t *pt, const char *s);

#endif
