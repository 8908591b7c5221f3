/* db_pgsql_row.c - columns of a row, from PostgreSQL's binary form. */
#include <string.h>
#include <apr_strings.h>
#include "db_pgsql.h"

int pgsql_is_null(mg_stmt_t *stmt, int col)
{
    pgsql_stmt_t *s = stmt->handle;

    return col < 0 || col >= PQnfields(s->result)
           || PQgetisnull(s->result, s->row, col);
}

static apr_uint64_t big_endian(const unsigned char *data, int len)
{
    apr_uint64_t v = 0;

    while (len-- > 0)
        v = v << 8 | *data++;
    return v;
}

/* Two-byte count of digits, weight of the first, sign, scale, then digits to
 * base 10000. sum() of integers is numeric; what is behind the point is cut. */
static apr_int64_t numeric_to_int(const unsigned char *data, int len)
{
    int ndigits, weight, i;
    apr_int64_t v = 0;

    if (len < 8)
        return 0;
    ndigits = (int)big_endian(data, 2);
    weight = (apr_int16_t)big_endian(data + 2, 2);
    for (i = 0; i <= weight; i++) {
        int digit = 0;
        if (i < ndigits && 8 + 2 * i + 2 <= len)
            digit = (int)big_endian(data + 8 + 2 * i, 2);
        if (v > (APR_INT64_MAX - digit) / 10000) {
            v = APR_INT64_MAX; /* more than any count of ours */
            break;
        }
        v = v * 10000 + digit;
    }
    return big_endian(data + 4, 2) == 0x4000 ? -v : v;
}

static apr_int64_t float_to_int(const unsigned char *data, int len)
{
    apr_uint64_t bits = big_endian(data, len);
    double d;
    float f;

    if (len == 8) {
        memcpy(&d, &bits, 8);
    } else {
        apr_uint32_t bits4 = (apr_uint32_t)bits;
        memcpy(&f, &bits4, 4);
        d = f;
    }
    if (!(d > -9.2e18 && d < 9.2e18))
        return 0;
    return (apr_int64_t)d;
}

apr_int64_t pgsql_get_int(mg_stmt_t *stmt, int col)
{
    pgsql_stmt_t *s = stmt->handle;
    const unsigned char *data =
        (const unsigned char *)PQgetvalue(s->result, s->row, col);
    int len = PQgetlength(s->result, s->row, col);

    switch (PQftype(s->result, col)) {
    case OID_BOOL:
        return len == 1 && data[0];
    case OID_INT2:
        return (apr_int16_t)big_endian(data, len);
    case OID_INT4:
        return (apr_int32_t)big_endian(data, len);
    case OID_INT8:
        return (apr_int64_t)big_endian(data, len);
    case OID_NUMERIC:
        return numeric_to_int(data, len);
    case OID_FLOAT4:
    case OID_FLOAT8:
        return float_to_int(data, len);
    default: /* text; libpq puts a NUL behind it */
        return apr_atoi64((const char *)data);
    }
}

char *pgsql_get_text(mg_stmt_t *stmt, int col, apr_pool_t *p)
{
    pgsql_stmt_t *s = stmt->handle;

    switch (PQftype(s->result, col)) {
    case OID_BOOL:
    case OID_INT2:
    case OID_INT4:
    case OID_INT8:
    case OID_NUMERIC:
    case OID_FLOAT4:
    case OID_FLOAT8:
        return apr_psprintf(p, "%" APR_INT64_T_FMT, pgsql_get_int(stmt, col));
    default:
        return apr_pstrmemdup(p, PQgetvalue(s->result, s->row, col),
                              PQgetlength(s->result, s->row, col));
    }
}

const void *pgsql_get_blob(mg_stmt_t *stmt, int col, apr_size_t *plen)
{
    pgsql_stmt_t *s = stmt->handle;

    *plen = PQgetlength(s->result, s->row, col);
    return PQgetvalue(s->result, s->row, col);
}
