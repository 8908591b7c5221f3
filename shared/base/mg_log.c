/* mg_log.c - lines to whatever sink this program has. */
#include "mg_log.h"
#include "mg_status.h"
#include "mg_time.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_LEN 4096

static const char *const level_names[] = { "err", "warn", "info", "debug" };
static const char *program_name = "mailgun";

/* A line stays a line: what could break it is shown as \xNN. */
static apr_size_t append_escaped(char *out, apr_size_t pos, apr_size_t size,
                                 const char *text)
{
    static const char hex[] = "0123456789abcdef";

    for (; *text && pos + 5 < size; text++) {
        unsigned char c = (unsigned char)*text;
        if (c >= 0x20 && c != 0x7f) {
            out[pos++] = (char)c;
            continue;
        }
        out[pos++] = '\\';
        out[pos++] = 'x';
        out[pos++] = hex[c >> 4];
        out[pos++] = hex[c & 15];
    }
    out[pos] = '\0';
    return pos;
}

static void stderr_sink(mg_log_level_t level, apr_status_t rv,
                        const char *line, void *baton)
{
    char out[LINE_MAX_LEN + 512], why[200];
    apr_time_exp_t t;
    apr_size_t pos;
    int n;

    (void)baton;
    apr_time_exp_gmt(&t, mg_now());
    n = snprintf(out, 256, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ %.100s[%d]: "
                 "%s: ", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour,
                 t.tm_min, t.tm_sec, t.tm_usec / 1000, program_name,
                 (int)getpid(), level_names[level]);
    pos = append_escaped(out, (apr_size_t)n, sizeof(out) - 256, line);
    if (rv != APR_SUCCESS) {
        pos = append_escaped(out, pos, sizeof(out) - 2, ": ");
        pos = append_escaped(out, pos, sizeof(out) - 2,
                             mg_strerror(rv, why, sizeof(why)));
    }
    out[pos++] = '\n';
    /* one write: lines of several processes do not mix */
    if (write(STDERR_FILENO, out, pos) < 0)
        return;
}

static mg_log_sink_fn *current_sink = stderr_sink;
static void *sink_baton;
static mg_log_level_t current_level = MG_LOG_INFO;

void mg_log_set_sink(mg_log_sink_fn *sink, void *baton)
{
    current_sink = sink ? sink : stderr_sink;
    sink_baton = baton;
}

void mg_log_set_level(mg_log_level_t level)
{
    current_level = level;
}

mg_log_level_t mg_log_get_level(void)
{
    return current_level;
}

void mg_log_to_stderr(const char *program)
{
    program_name = program;
    mg_log_set_sink(stderr_sink, NULL);
}

void mg_log(mg_log_level_t level, apr_status_t rv, const char *fmt, ...)
{
    char line[LINE_MAX_LEN];
    va_list args;

    if (level > current_level)
        return;
    va_start(args, fmt);
    vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    current_sink(level, rv, line, sink_baton);
}
