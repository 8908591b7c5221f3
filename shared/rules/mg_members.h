/* mg_members.h - members of mailing lists as customers write them: parameters,
 * JSON arrays, CSV files (reference, section 10).
 */
#ifndef MG_MEMBERS_H
#define MG_MEMBERS_H

#include "mg_list.h"

#define MG_MEMBERS_JSON_MAX (8 * 1024 * 1024)  /* octets */
#define MG_MEMBERS_CSV_MAX (5 * 1024 * 1024)
#define MG_MEMBERS_ERRORS_MAX 100              /* that are told */

/** A line that was passed over. */
typedef struct {
    int line;            /* of a file, from 1; of an array, from 1 */
    const char *error;
} mg_members_error_t;

typedef struct {
    apr_array_header_t *members;  /* of mg_list_member_t * */
    apr_array_header_t *errors;   /* of mg_members_error_t; the first ones */
    int skipped;                  /* how many in all */
} mg_members_t;

/** "Bob Lee <bob@x>" or a bare address into address and, if it has one, name.
 * @return MG_EADDRESS */
apr_status_t mg_members_address(mg_list_member_t *member, const char *text,
                                apr_pool_t *p);
/** Text of a JSON object, compact; "" is "{}". NULL: it is none, or too long */
const char *mg_members_vars(const char *text, apr_size_t len, apr_pool_t *p);

/**
 * A JSON array of at most MG_LIST_AT_ONCE addresses, or objects with address,
 * name, vars (an object, or its text), description, subscribed. One whose
 * address is malformed is passed over.
 *
 * @param subscribed  of those that do not say
 * @return MG_EBADINPUT with *perror in words
 */
apr_status_t mg_members_json(mg_members_t **presult, const char **perror,
                             const char *bytes, apr_size_t len, int subscribed,
                             apr_pool_t *p);
/**
 * A CSV file (RFC 4180; LF alone ends a line, too; UTF-8, with or without byte
 * order mark). Its first line names the columns, in any case and order:
 * address (or email), name, description, subscribed, vars; any other is a
 * member of vars. Where the first line has an address, the columns are address
 * and name. Lines that cannot be taken are passed over.
 *
 * @return as mg_members_json()
 */
apr_status_t mg_members_csv(mg_members_t **presult, const char **perror,
                            const char *bytes, apr_size_t len, int subscribed,
                            apr_pool_t *p);
#endif
