/* ctl_fsck.c - mailgunctl fsck: does everything add up? */
#include "ctl.h"
#include "mg_event.h"
#include "mg_status.h"

#include <apr_strings.h>
#include <stdio.h>
#include <string.h>

/* "12 messages" becomes a row: what, then how many. */
static void count_row(ctl_table_t *table, ctl_t *ctl, const char *line)
{
    apr_size_t digits = strspn(line, "0123456789");

    if (digits && line[digits] == ' ')
        ctl_table_row(table, line + digits + 1,
                      apr_pstrmemdup(ctl->pool, line, digits), NULL);
    else
        ctl_table_row(table, line, NULL);
}

int ctl_fsck(ctl_t *ctl)
{
    ctl_table_t *table = ctl_table_make(ctl);
    apr_array_header_t *findings, *counts;
    apr_status_t rv;
    int i, code;

    if ((code = ctl_open(ctl)) != 0)
        return code;
    rv = mg_fsck(&findings, &counts, ctl->db, ctl->pool);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "fsck");
    for (i = 0; i < counts->nelts; i++)
        count_row(table, ctl, APR_ARRAY_IDX(counts, i, const char *));
    ctl_table_print(table);
    for (i = 0; i < findings->nelts; i++)
        printf("WRONG: %s\n",
               APR_ARRAY_IDX(findings, i, mg_fsck_finding_t).problem);
    if (findings->nelts)
        printf("%d findings\n", findings->nelts);
    else
        printf("nothing wrong\n");
    return findings->nelts ? 1 : 0;
}
