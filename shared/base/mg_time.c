/* mg_time.c - the only place that reads a clock; dates of RFC 5322 3.3, 4.3. */
#include "mg_time.h"
#include "mg_fault.h"
#include "mg_status.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define SECOND_MAX APR_INT64_C(253402300799) /* the end of 9999 */

static apr_time_t read_clock(clockid_t clock)
{
    struct timespec ts;
    apr_time_t t;

    clock_gettime(clock, &ts);
    t = apr_time_from_sec((apr_time_t)ts.tv_sec) + ts.tv_nsec / 1000;
#ifdef MG_TEST
    t += mg_fault_clock_offset();
#endif
    return t;
}

apr_time_t mg_now(void)
{
    return read_clock(CLOCK_REALTIME);
}

apr_time_t mg_ticks(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

void mg_time_deadline(struct timespec *deadline, apr_interval_time_t in)
{
    clock_gettime(CLOCK_MONOTONIC, deadline);
    deadline->tv_sec += (time_t)apr_time_sec(in);
    deadline->tv_nsec += (long)apr_time_usec(in) * 1000;
    if (deadline->tv_nsec >= 1000000000) {
        deadline->tv_sec++;
        deadline->tv_nsec -= 1000000000;
    }
}

apr_time_t mg_thread_ticks(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return apr_time_from_sec((apr_time_t)ts.tv_sec) + ts.tv_nsec / 1000;
}

/* writing */

static char *format_date(apr_time_t t, const char *zone, apr_pool_t *p)
{
    apr_time_exp_t x;

    apr_time_exp_gmt(&x, t);
    return apr_psprintf(p, "%s, %02d %s %d %02d:%02d:%02d %s",
                        apr_day_snames[x.tm_wday], x.tm_mday,
                        apr_month_snames[x.tm_mon], x.tm_year + 1900,
                        x.tm_hour, x.tm_min, x.tm_sec, zone);
}

char *mg_time_gmt(apr_time_t t, apr_pool_t *p)
{
    return format_date(t, "GMT", p);
}

char *mg_time_rfc5322(apr_time_t t, apr_pool_t *p)
{
    return format_date(t, "+0000", p);
}

char *mg_time_compact(apr_time_t t, apr_pool_t *p)
{
    apr_time_exp_t x;

    apr_time_exp_gmt(&x, t);
    return apr_psprintf(p, "%04d%02d%02d%02d%02d%02d", x.tm_year + 1900,
                        x.tm_mon + 1, x.tm_mday, x.tm_hour, x.tm_min,
                        x.tm_sec);
}

char *mg_time_iso(apr_time_t t, apr_pool_t *p)
{
    apr_time_exp_t x;

    apr_time_exp_gmt(&x, t);
    return apr_psprintf(p, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                        x.tm_year + 1900, x.tm_mon + 1, x.tm_mday, x.tm_hour,
                        x.tm_min, x.tm_sec, x.tm_usec / 1000);
}

apr_int64_t mg_time_day(apr_time_t t)
{
    const apr_time_t day = apr_time_from_sec(86400);

    return t >= 0 ? t / day : -((-t + day - 1) / day);
}

char *mg_time_day_text(apr_int64_t day, apr_pool_t *p)
{
    apr_time_exp_t x;

    apr_time_exp_gmt(&x, day * apr_time_from_sec(86400));
    return apr_psprintf(p, "%04d-%02d-%02d", x.tm_year + 1900, x.tm_mon + 1,
                        x.tm_mday);
}

/* reading
 *
 *   date-time = [ day-name "," ] 1*2DIGIT month-name 2*4DIGIT
 *               2DIGIT ":" 2DIGIT [ ":" 2DIGIT ] zone
 */

static const struct {
    const char *name;
    int minutes;
} zones[] = {
    { "UT", 0 }, { "UTC", 0 }, { "GMT", 0 }, { "EST", -300 }, { "EDT", -240 },
    { "CST", -360 }, { "CDT", -300 }, { "MST", -420 }, { "MDT", -360 },
    { "PST", -480 }, { "PDT", -420 },
};

/* Behind white space and comments; NULL if a comment does not end. */
static const char *skip_cfws(const char *s)
{
    int depth = 0;

    for (; *s; s++) {
        if (depth && *s == '\\' && s[1])
            s++;
        else if (*s == '(')
            depth++;
        else if (depth && *s == ')')
            depth--;
        else if (!depth && !apr_isspace(*s))
            break;
    }
    return depth ? NULL : s;
}

/* A number of min to max digits, and what follows is no further digit. */
static const char *read_number(int *pn, const char *s, int min, int max)
{
    int digits = 0;

    *pn = 0;
    while (digits < max && apr_isdigit(s[digits])) {
        *pn = *pn * 10 + (s[digits] - '0');
        digits++;
    }
    return digits < min || apr_isdigit(s[digits]) ? NULL : s + digits;
}

static apr_size_t word_length(const char *s)
{
    apr_size_t n = 0;

    while (apr_isalpha(s[n]))
        n++;
    return n;
}

static int find_name(const char *s, const char (*names)[4], int n)
{
    int i;

    for (i = 0; i < n; i++)
        if (strncasecmp(s, names[i], 3) == 0)
            return i;
    return -1;
}

static const char *read_day_name(const char *s)
{
    apr_size_t n = word_length(s);

    if (n == 0)
        return s;
    if (n < 3 || find_name(s, apr_day_snames, 7) < 0)
        return NULL;
    s = skip_cfws(s + n);
    return s && *s == ',' ? skip_cfws(s + 1) : NULL;
}

static const char *read_day(apr_time_exp_t *x, const char *s)
{
    const char *year;
    apr_size_t n;

    s = read_number(&x->tm_mday, s, 1, 2);
    if (!s || !(s = skip_cfws(s)))
        return NULL;
    n = word_length(s);
    if (n < 3 || (x->tm_mon = find_name(s, apr_month_snames, 12)) < 0)
        return NULL;
    if (!(year = skip_cfws(s + n)))
        return NULL;
    s = read_number(&x->tm_year, year, 2, 4);
    if (!s)
        return NULL;
    if (s - year == 4)
        x->tm_year -= 1900;
    else if (s - year == 2 && x->tm_year < 50)
        x->tm_year += 100;  /* RFC 5322 4.3 */
    return skip_cfws(s);
}

static const char *read_clock_time(apr_time_exp_t *x, const char *s)
{
    s = read_number(&x->tm_hour, s, 1, 2);
    if (!s || !(s = skip_cfws(s)) || *s != ':' || !(s = skip_cfws(s + 1)))
        return NULL;
    s = read_number(&x->tm_min, s, 2, 2);
    if (!s || !(s = skip_cfws(s)) || *s != ':')
        return s;
    if (!(s = skip_cfws(s + 1)) || !(s = read_number(&x->tm_sec, s, 2, 2)))
        return NULL;
    return skip_cfws(s);
}

static const char *read_zone(apr_time_exp_t *x, const char *s)
{
    apr_size_t i, n = word_length(s);
    int hhmm;

    if (*s == '+' || *s == '-') {
        int sign = *s == '-' ? -1 : 1;
        s = read_number(&hhmm, s + 1, 4, 4);
        if (!s || hhmm % 100 > 59)
            return NULL;
        x->tm_gmtoff = sign * (hhmm / 100 * 3600 + hhmm % 100 * 60);
        return skip_cfws(s);
    }
    if (n == 1 && *s != 'J' && *s != 'j')
        return skip_cfws(s + 1); /* military: "-0000", RFC 5322 4.3 */
    for (i = 0; i < sizeof(zones) / sizeof(zones[0]); i++) {
        if (strlen(zones[i].name) == n
            && strncasecmp(s, zones[i].name, n) == 0) {
            x->tm_gmtoff = zones[i].minutes * 60;
            return skip_cfws(s + n);
        }
    }
    return NULL;
}

static int is_calendar(const apr_time_exp_t *x)
{
    static const int days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30,
                                31 };
    int year = x->tm_year + 1900;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    if (x->tm_mday < 1 || x->tm_mday > days[x->tm_mon])
        return 0;
    if (x->tm_mon == 1 && x->tm_mday == 29 && !leap)
        return 0;
    return x->tm_hour < 24 && x->tm_min < 60 && x->tm_sec <= 60;
}

static apr_status_t parse_date(apr_time_t *pt, const char *s)
{
    apr_time_exp_t x;

    memset(&x, 0, sizeof(x));
    if (!(s = read_day_name(s)) || !(s = read_day(&x, s))
        || !(s = read_clock_time(&x, s)) || !(s = read_zone(&x, s)) || *s)
        return MG_EBADINPUT;
    if (!is_calendar(&x) || apr_time_exp_gmt_get(pt, &x) != APR_SUCCESS)
        return MG_EBADINPUT;
    return APR_SUCCESS;
}

static apr_status_t parse_epoch(apr_time_t *pt, const char *s)
{
    apr_int64_t seconds = 0, fraction = 0, unit = 100000;

    for (; apr_isdigit(*s); s++) {
        seconds = seconds * 10 + (*s - '0');
        if (seconds > SECOND_MAX)
            return MG_EBADINPUT;
    }
    if (*s == '.') {
        for (s++; apr_isdigit(*s); s++) {
            fraction += (*s - '0') * unit;
            unit /= 10;
        }
    }
    s = skip_cfws(s);
    if (!s || *s)
        return MG_EBADINPUT;
    *pt = apr_time_from_sec(seconds) + fraction;
    return APR_SUCCESS;
}

apr_status_t mg_time_parse(apr_time_t *pt, const char *text)
{
    const char *s = text ? skip_cfws(text) : NULL;

    if (!s || !*s)
        return MG_EBADINPUT;
    if (apr_isdigit(*s) && parse_epoch(pt, s) == APR_SUCCESS)
        return APR_SUCCESS;
    return parse_date(pt, s);
}

/* RFC 3339 5.6
 *
 *   full-date = 4DIGIT "-" 2DIGIT "-" 2DIGIT
 *   date-time = full-date "T" 2DIGIT ":" 2DIGIT ":" 2DIGIT [ "." 1*DIGIT ]
 *               ( "Z" / ( "+" / "-" ) 2DIGIT ":" 2DIGIT )
 */
static const char *read_iso_day(apr_time_exp_t *x, const char *s)
{
    s = read_number(&x->tm_year, s, 4, 4);
    if (!s || *s != '-' || !(s = read_number(&x->tm_mon, s + 1, 2, 2))
        || *s != '-' || !(s = read_number(&x->tm_mday, s + 1, 2, 2)))
        return NULL;
    x->tm_year -= 1900;
    x->tm_mon--;
    return x->tm_mon >= 0 && x->tm_mon < 12 ? s : NULL;
}

static const char *read_iso_time(apr_time_exp_t *x, const char *s)
{
    int sign, hours, minutes;

    if (!(s = read_number(&x->tm_hour, s, 2, 2)) || *s != ':'
        || !(s = read_number(&x->tm_min, s + 1, 2, 2)) || *s != ':'
        || !(s = read_number(&x->tm_sec, s + 1, 2, 2)))
        return NULL;
    if (*s == '.')
        for (s++; apr_isdigit(*s); s++)
            ;
    if (apr_toupper(*s) == 'Z')
        return s + 1;
    if (*s != '+' && *s != '-')
        return NULL;
    sign = *s == '-' ? -1 : 1;
    if (!(s = read_number(&hours, s + 1, 2, 2)) || *s != ':'
        || !(s = read_number(&minutes, s + 1, 2, 2)) || hours > 23
        || minutes > 59)
        return NULL;
    x->tm_gmtoff = sign * (hours * 3600 + minutes * 60);
    return s;
}

apr_status_t mg_time_parse_day(apr_int64_t *pday, const char *text)
{
    const char *s = text ? skip_cfws(text) : NULL;
    apr_time_exp_t x;
    apr_time_t t;

    memset(&x, 0, sizeof(x));
    if (!s || !(s = read_iso_day(&x, s))) {
        if (mg_time_parse(&t, text) != APR_SUCCESS)
            return MG_EBADINPUT;
        *pday = mg_time_day(t);
        return APR_SUCCESS;
    }
    if ((apr_toupper(*s) == 'T' || *s == ' ') && apr_isdigit(s[1]))
        s = read_iso_time(&x, s + 1);
    s = s ? skip_cfws(s) : NULL;
    if (!s || *s || !is_calendar(&x)
        || apr_time_exp_gmt_get(&t, &x) != APR_SUCCESS)
        return MG_EBADINPUT;
    *pday = mg_time_day(t);
    return APR_SUCCESS;
}
