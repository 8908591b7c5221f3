/* fuzz_dns_answer.c - a DNS message: its MX, TXT and TLSA records; what is read
 * lies within it. */
#include "fuzz.h"
#include "../../smtpd/dns_answer.c"

/* what the look-ups make of records, without look-ups */
static void look(const dns_record_t *r, const char *message, size_t len)
{
    FUZZ_MUST((const char *)r->data >= message
              && (const char *)r->data + r->len <= message + len);
}

FUZZ(text, len, p)
{
    static const int types[] = { 15, 16, 28, 52 };
    char *exact = fuzz_exact(text, len);
    apr_array_header_t *records;
    apr_status_t rv;
    size_t i;
    int j, ttl;

    for (i = 0; i < 4; i++) {
        rv = dns_parse_records(&records, &ttl, types[i],
                               (const unsigned char *)exact, (int)len, p);
        FUZZ_MUST(rv != APR_SUCCESS || records->nelts > 0);
        for (j = 0; j < records->nelts; j++)
            look(&APR_ARRAY_IDX(records, j, dns_record_t), exact, len);
    }
    rv = dns_parse_mx(&records, &ttl, (const unsigned char *)exact, (int)len,
                      p);
    for (j = 0; rv == APR_SUCCESS && j < records->nelts; j++)
        FUZZ_MUST(strlen(APR_ARRAY_IDX(records, j, dns_mx_record_t).exchange)
                  < 1100);
    free(exact);
}
