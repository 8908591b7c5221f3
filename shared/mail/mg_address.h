/* mg_address.h - RFC 5321 paths and RFC 5322 mailboxes. */
#ifndef MG_ADDRESS_H
#define MG_ADDRESS_H

#include <apr_pools.h>
#include <apr_tables.h>

typedef struct {
    const char *name;      /* decoded display name, or NULL */
    const char *address;   /* local@domain, domain in lower case */
    const char *local;
    const char *domain;    /* lower case; U-labels stay as given */
    const char *as_given;  /* the text of this one address */
} mg_address_t;

/**
 * A comma list of mailboxes as API parameters have it: GMime first; where it
 * finds nothing, the innermost <...> (reference, section 0). Groups are opened.
 * Array of mg_address_t *. @return MG_EADDRESS
 */
apr_status_t mg_address_parse_list(apr_array_header_t **plist,
                                   const char *text, apr_pool_t *p);
apr_status_t mg_address_parse(mg_address_t **paddress, const char *text,
                              apr_pool_t *p);

/**
 * The path of MAIL FROM or RCPT TO: "<local@domain>", source routes dropped,
 * "<>" gives address "" (only if null_ok), "<postmaster>" gives domain NULL.
 * Strict RFC 5321 4.1.2: quoted strings, address literals, 64/255/256 octets.
 * @param utf8   RFC 6531 is in force
 * @param prest  behind the '>': ESMTP parameters
 */
apr_status_t mg_address_parse_path(mg_address_t **paddress,
                                   const char **prest, const char *text,
                                   int null_ok, int utf8, apr_pool_t *p);
/** A domain with its U-labels as A-labels; as it is where there is no such
 * form. */
const char *mg_address_ascii_domain(const char *domain, apr_pool_t *p);
/** The Sender: of a message whose From is in another domain than the one that
 * sends it: "me=other.com@domain", "postmaster@domain" where that is no
 * address (RFC 5321 4.5.3.1.1: 64 octets). NULL: From is in domain. */
char *mg_address_sender(const mg_address_t *from, const char *domain,
                        apr_pool_t *p);
/** Are all of list (of mg_address_t *; at least one) in that domain, in
 * whatever form of IDNA? */
int mg_address_all_in(const apr_array_header_t *list, const char *domain,
                      apr_pool_t *p);
/** LDH labels, at least two, 253 octets; U-labels allowed. */
int mg_address_is_domain(const char *domain);

#endif
