/* ctl_table.c - columns that stand under each other, and small formats. */
#include "ctl.h"

#include <apr_strings.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COLUMNS_MAX 16

struct ctl_table_t {
    ctl_t *ctl;
    apr_array_header_t *rows;   /* of const char ** */
    int columns;
};

ctl_table_t *ctl_table_make(ctl_t *ctl)
{
    ctl_table_t *table = apr_pcalloc(ctl->pool, sizeof(*table));

    table->ctl = ctl;
    table->rows = apr_array_make(ctl->pool, 32, sizeof(const char **));
    return table;
}

/* What comes from outside must not move the terminal's cursor. */
static const char *on_one_line(const char *text, apr_pool_t *p)
{
    char *out, *c;

    if (!text)
        return "";
    out = apr_pstrdup(p, text);
    for (c = out; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = ' ';
    return out;
}

void ctl_table_row(ctl_table_t *table, ...)
{
    const char **row = apr_pcalloc(table->ctl->pool,
                                   COLUMNS_MAX * sizeof(*row));
    const char *cell;
    va_list args;
    int n = 0;

    va_start(args, table);
    while (n < COLUMNS_MAX && (cell = va_arg(args, const char *)) != NULL)
        row[n++] = on_one_line(cell, table->ctl->pool);
    va_end(args);
    if (n > table->columns)
        table->columns = n;
    APR_ARRAY_PUSH(table->rows, const char **) = row;
}

/* Characters, not octets: names may be UTF-8. */
static int width_of(const char *text)
{
    int n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void ctl_table_print(const ctl_table_t *table)
{
    int widths[COLUMNS_MAX] = { 0 }, row, col;

    for (row = 0; row < table->rows->nelts; row++) {
        const char **cells = APR_ARRAY_IDX(table->rows, row, const char **);
        for (col = 0; col < table->columns && cells[col]; col++)
            if (width_of(cells[col]) > widths[col])
                widths[col] = width_of(cells[col]);
    }
    for (row = 0; row < table->rows->nelts; row++) {
        const char **cells = APR_ARRAY_IDX(table->rows, row, const char **);
        int last = table->columns - 1;

        while (last > 0 && (!cells[last] || !*cells[last]))
            last--;
        for (col = 0; col < last; col++)
            printf("%s%*s", cells[col],
                   widths[col] - width_of(cells[col]) + 2, "");
        printf("%s\n", cells[last]);
    }
}

char *ctl_time(ctl_t *ctl, apr_time_t t)
{
    apr_time_exp_t x;

    if (t == 0)
        return apr_pstrdup(ctl->pool, "-");
    apr_time_exp_gmt(&x, t);
    return apr_psprintf(ctl->pool, "%04d-%02d-%02d %02d:%02d:%02d",
                        x.tm_year + 1900, x.tm_mon + 1, x.tm_mday, x.tm_hour,
                        x.tm_min, x.tm_sec);
}

char *ctl_size(ctl_t *ctl, apr_int64_t bytes)
{
    static const char units[] = " KMGTPE";
    int unit = 0;
    double n = (double)bytes;

    for (; n >= 1024 && unit < 6; unit++)
        n /= 1024;
    if (unit == 0)
        return ctl_number(ctl, bytes);
    return apr_psprintf(ctl->pool, n == (apr_int64_t)n ? "%.0f%c" : "%.1f%c",
                        n, units[unit]);
}

char *ctl_number(ctl_t *ctl, apr_int64_t n)
{
    return apr_psprintf(ctl->pool, "%" APR_INT64_T_FMT, n);
}

/* postgresql://user:password@host/name: the password is nobody's business */
const char *ctl_store_name(ctl_t *ctl)
{
    const char *url = ctl->config->store, *authority, *at, *colon;

    authority = strstr(url, "://");
    if (!authority)
        return url;
    authority += 3;
    at = strchr(authority, '@');
    colon = strchr(authority, ':');
    if (!at || !colon || colon > at)
        return url;
    return apr_pstrcat(ctl->pool,
                       apr_pstrmemdup(ctl->pool, url,
                                      (apr_size_t)(colon - url)), at, NULL);
}
