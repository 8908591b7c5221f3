/* mg_campaign_report.h - what campaigns are asked for (reference, section 7).
 *
 * Every answer is computed from the events themselves, those of segments and
 * those that wait, in one read transaction: any grouping, any filter is exact.
 */
#ifndef MG_CAMPAIGN_REPORT_H
#define MG_CAMPAIGN_REPORT_H

#include "mg_campaign_column.h"

enum {
    MG_BY_LINK = 1 << 0, MG_BY_RECIPIENT = 1 << 1, MG_BY_DOMAIN = 1 << 2,
    MG_BY_COUNTRY = 1 << 3, MG_BY_REGION = 1 << 4, MG_BY_CITY = 1 << 5,
    MG_BY_MONTH = 1 << 6, MG_BY_DAY = 1 << 7, MG_BY_HOUR = 1 << 8,
    MG_BY_MINUTE = 1 << 9, MG_BY_DAILY_HOUR = 1 << 10 /* 0 to 23, any day */
};

typedef struct {
    apr_int64_t campaign_id;
    unsigned kinds;              /* 1 << mg_campaign_kind_t: what is looked at */
    unsigned by;                 /* MG_BY_*; 0: one group of all */
    unsigned unique;             /* kinds whose recipients, links are counted */
    const char *recipient;       /* only those, in any case; each may be NULL */
    const char *country, *region, *city;
    apr_int64_t skip, limit;
} mg_campaign_query_t;

typedef struct {
    mg_campaign_row_t first;     /* its first event: what it is grouped by; the
                                  * rest may lack */
    apr_int64_t total[MG_CAMPAIGN_KINDS];
    /* different ones in it; links of clicks alone */
    apr_int64_t recipients[MG_CAMPAIGN_KINDS], links[MG_CAMPAIGN_KINDS];
} mg_campaign_group_t;

#define MG_CAMPAIGN_REPORTS_MAX 2   /* of a process at once */

/**
 * Groups, the largest total first, among equals the one that began first.
 * Times are in UTC. Waits for its turn where others are at it.
 *
 * @param pgroups  array of mg_campaign_group_t: those of the page
 * @param pcount   how many there are in all
 * @return MG_ELIMIT: too many of them (mg_campaign_group.h)
 */
apr_status_t mg_campaign_report(apr_array_header_t **pgroups,
                                apr_int64_t *pcount, mg_db_t *db,
                                const mg_campaign_query_t *query,
                                apr_pool_t *p);

#define MG_CAMPAIGN_PAGES_MAX (1 << 22)  /* rows before the end of a page */

/** Events, newest first; array of mg_campaign_row_t.
 * @return MG_ELIMIT: the page is too far behind */
apr_status_t mg_campaign_events(apr_array_header_t **prows, mg_db_t *db,
                                const mg_campaign_query_t *query,
                                apr_pool_t *p);
/** How many there are of them; skip and limit say nothing. */
apr_status_t mg_campaign_events_count(apr_int64_t *pcount, mg_db_t *db,
                                      const mg_campaign_query_t *query,
                                      apr_pool_t *p);

/* --- between the files of reports --- */

typedef struct {
    mg_campaign_column_t column;
    apr_uint64_t key;
} mg_campaign_filter_t;
#define MG_CAMPAIGN_FILTERS 4
/** @return how many */
int mg_campaign_filters(mg_campaign_filter_t filters[MG_CAMPAIGN_FILTERS],
                        const mg_campaign_query_t *query);
/** The k smallest of n values stand first then, in no order. */
void mg_campaign_select(apr_uint64_t *values, apr_size_t n, apr_size_t k);

#endif
