/* dns.h - where a domain's mail goes, and what it publishes about that: MX, A
 * and AAAA, TXT, TLSA by c-ares on the loop.
 *
 * RFC 5321 5.1: MX records by preference; none: the domain's own addresses
 * (implicit MX). RFC 7505: a single "MX 0 ." means that the domain takes no
 * mail. NXDOMAIN is an answer, SERVFAIL and silence are not: those are asked
 * again later. Answers are cached for their TTL, within caps.
 *
 * secure: a validating resolver that we trust vouches for it (DNSSEC).
 */
#ifndef DNS_H
#define DNS_H

#include <apr_tables.h>
#include <sys/socket.h>
#include "loop.h"

typedef enum {
    DNS_FOUND,   /* at least one address */
    DNS_NONE,    /* no such domain, or nothing that takes mail: permanent */
    DNS_NULL_MX, /* RFC 7505: permanent */
    DNS_LATER    /* the resolver failed: ask again */
} dns_status_t;

/** One address of one host. */
typedef struct {
    const char *name;
    int preference;
    int secure;               /* the MX record and the address */
    apr_uint32_t shuffle;     /* the same for all addresses of a host */
    struct sockaddr_storage addr;  /* without a port */
    int addr_len;
} dns_host_t;

/** RDATA of one record. */
typedef struct {
    const unsigned char *data;
    apr_size_t len;
} dns_record_t;

typedef struct {
    dns_status_t status;
    int secure;               /* also of DNS_NONE */
    const char *reply;        /* in words, with a code; NULL if found */
    const dns_host_t *hosts;  /* by preference, equals in random order */
    int nhosts;
    const dns_record_t *records; /* of TXT and TLSA */
    int nrecords;
    apr_time_t until;         /* mg_ticks() up to which it holds */
} dns_answer_t;

/** The answer lives until fn returns. fn may be called before dns_mx() or
 * dns_host() returns. */
typedef void dns_fn(const dns_answer_t *answer, void *baton);

typedef struct dns_t dns_t;

/** Whether a resolver's word is taken that an answer was validated. */
typedef enum {
    DNS_TRUST_NEVER,
    DNS_TRUST_ALWAYS,
    DNS_TRUST_LOCAL           /* if all resolvers are on a loopback address:
                                 nobody is on the way */
} dns_trust_t;

/** @param resolvers  of char *, "addr" or "addr:port"; NULL or empty: those
 *                    of /etc/resolv.conf */
apr_status_t dns_create(dns_t **pdns, loop_t *loop,
                        const apr_array_header_t *resolvers,
                        dns_trust_t trust, apr_pool_t *p);
/** Hosts for a domain's mail. U-labels become A-labels. */
void dns_mx(dns_t *dns, const char *domain, dns_fn *fn, void *baton);
/** The addresses of one host; an IP address (in brackets or not) is its own,
 * /etc/hosts is looked at first. */
void dns_host(dns_t *dns, const char *host, dns_fn *fn, void *baton);
/** TXT records of a name; TLSA records of a port of a host. */
void dns_txt(dns_t *dns, const char *name, dns_fn *fn, void *baton);
void dns_tlsa(dns_t *dns, const char *host, int port, dns_fn *fn,
              void *baton);
/** What was answered last, or NULL; it may be a little old. */
const dns_answer_t *dns_tlsa_known(dns_t *dns, const char *host, int port);
/** Forget what is cached, for tests. */
void dns_flush(dns_t *dns);

/** "bücher.example" -> "xn--bcher-kva.example"; NULL: no domain name. */
char *dns_ascii(const char *domain, apr_pool_t *p);

/** One TLSA record (RFC 6698 2.1). */
typedef struct {
    unsigned char usage, selector, matching;
    const unsigned char *data;
    apr_size_t len;
} dns_tlsa_t;

/** @return 0: damaged. It points into the record. */
int dns_tlsa_value(dns_tlsa_t *tlsa, const dns_record_t *record);
/** Its strings joined; NULL: damaged, or a NUL in it. */
char *dns_txt_value(const dns_record_t *record, apr_pool_t *p);

/* One MX record of an answer. */
typedef struct {
    const char *exchange;     /* "" for the root: null MX */
    int preference;
} dns_mx_record_t;
/**
 * The MX records of a DNS message.
 * @param pttl  the smallest, in seconds
 * @return MG_EBADINPUT: damaged; APR_ENOENT: well-formed and without any
 */
apr_status_t dns_parse_mx(apr_array_header_t **precords, int *pttl,
                          const unsigned char *message, int len,
                          apr_pool_t *p);
/** The same for records of any type; of dns_record_t, which point into the
 * message. */
apr_status_t dns_parse_records(apr_array_header_t **precords, int *pttl,
                               int type, const unsigned char *message,
                               int len, apr_pool_t *p);

/** The first CNAME record's target. Returns as dns_parse_mx(). */
apr_status_t dns_parse_cname(const char **ptarget,
                             const unsigned char *message, int len,
                             apr_pool_t *p);

/* What c-ares is told; a test may shorten it. */
extern int dns_timeout_ms, dns_tries;
#endif
