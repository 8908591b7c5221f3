/* mg_event_filter.h - filters of GET /<domain>/events.
 *
 * One filter is what one parameter says of one field of an event:
 *
 *   subject=invoice -paid            both words must hold: one there, one not
 *   event=rejected OR failed
 *   subject="final notice"           the words one after the other
 *   size=(>10000 <20000) OR 5
 *   tags=NOT newsletter
 *
 * What a word means depends on its field:
 *
 *   exact     event severity message-id tags: the whole value
 *   text      subject attachment: words of the value, one after the other
 *   address   from to recipient recipients list: with an '@' the whole
 *             address, without words of it or of the name beside it
 *   number    size: the number, or with > >= < <= a range
 *
 * Letter case does not count (of ASCII), but in message-id. Compiling and
 * matching take bounded time whatever a customer writes.
 */
#ifndef MG_EVENT_FILTER_H
#define MG_EVENT_FILTER_H

#include <apr_pools.h>

typedef enum {
    MG_FILTER_EVENT, MG_FILTER_LIST, MG_FILTER_ATTACHMENT, MG_FILTER_FROM,
    MG_FILTER_TO, MG_FILTER_MESSAGE_ID, MG_FILTER_SUBJECT, MG_FILTER_SIZE,
    MG_FILTER_RECIPIENT, MG_FILTER_RECIPIENTS, MG_FILTER_TAGS,
    MG_FILTER_SEVERITY, MG_FILTER_MAX
} mg_filter_field_t;

#define MG_FILTER_LENGTH 1024 /* octets of one filter */
#define MG_FILTER_TERMS 64
#define MG_FILTER_DEPTH 16    /* of parentheses and NOTs */

/** The parameter's name: "message-id". */
const char *mg_event_filter_name(mg_filter_field_t field);

typedef struct mg_event_filter_t mg_event_filter_t;

/**
 * @param text  valid UTF-8
 * @return MG_EBADINPUT, and in *perror what is wrong, to be shown to whoever
 *         wrote it
 */
apr_status_t mg_event_filter_compile(mg_event_filter_t **pfilter,
                                     mg_filter_field_t field, const char *text,
                                     const char **perror, apr_pool_t *p);

/** Does an event with these values of the field pass? A word holds if it holds
 * for one of them; of no value (n 0) no word holds. Not for numbers. */
int mg_event_filter_matches(const mg_event_filter_t *filter,
                            const char *const *values, int n);
/** The same, size only. */
int mg_event_filter_matches_number(const mg_event_filter_t *filter,
                                   apr_int64_t value);
/** If the filter is one word and nothing else, that word: who has an index for
 * the field can look it up. Else NULL. */
const char *mg_event_filter_word(const mg_event_filter_t *filter);

#endif
