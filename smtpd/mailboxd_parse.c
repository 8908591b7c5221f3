/* mailboxd_parse.c - requests of mailboxd_protocol.h. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mailboxd_parse.h"

/* What an argument is. */
typedef enum { A_NONE, A_ID, A_ID_OR_0, A_SIZE, A_DELTA, A_OWNER } kind_t;

typedef struct {
    kind_t kind;
    size_t offset;
    int optional;
} argument_t;

#define AT(member) offsetof(mailboxd_request_t, member)
#define MAILBOX { A_ID, AT(mailbox_id), 0 }
#define DELIVERY { A_ID, AT(delivery_id), 0 }
#define MAYBE_DELIVERY { A_ID_OR_0, AT(delivery_id), 1 }
#define ARGUMENTS_MAX 5

static const struct {
    const char *name;
    mailboxd_verb_t verb;
    int is_change;
    argument_t arguments[ARGUMENTS_MAX];
} verbs[] = {
    { "LIMITS", MAILBOXD_LIMITS, 0, { MAILBOX } },
    { "RESERVE", MAILBOXD_RESERVE, 1,
      { MAILBOX, { A_SIZE, AT(bytes), 0 }, { A_SIZE, AT(messages), 0 },
        { A_OWNER, AT(owner), 0 }, MAYBE_DELIVERY } },
    { "SETTLE", MAILBOXD_SETTLE, 1,
      { { A_ID_OR_0, AT(reservation), 0 }, MAILBOX,
        { A_DELTA, AT(bytes), 0 }, { A_DELTA, AT(messages), 0 },
        MAYBE_DELIVERY } },
    { "RELEASE", MAILBOXD_RELEASE, 1, { { A_ID, AT(reservation), 0 } } },
    { "RECOUNT", MAILBOXD_RECOUNT, 1,
      { MAILBOX, { A_SIZE, AT(bytes), 0 }, { A_SIZE, AT(messages), 0 },
        { A_ID_OR_0, AT(newest), 0 } } },
    { "SEEN", MAILBOXD_SEEN, 0, { MAILBOX, DELIVERY } },
    { "SAVED", MAILBOXD_SAVE, 1, { MAILBOX, DELIVERY } },
    { "WATCH", MAILBOXD_WATCH, 0,
      { MAILBOX, { A_ID_OR_0, AT(revision), 1 } } },
    { "UNWATCH", MAILBOXD_UNWATCH, 0, { MAILBOX } },
    { "PING", MAILBOXD_PING, 0, { { A_NONE, 0, 0 } } },
};

static int parse_number(apr_int64_t *pn, const char *text)
{
    const char *digits = text + (*text == '-');
    char *end;

    if (!isdigit((unsigned char)*digits) || strlen(digits) > 19)
        return 0;
    errno = 0;
    *pn = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

static int parse_argument(mailboxd_request_t *request, const argument_t *a,
                          const char *text)
{
    char *at = (char *)request + a->offset;
    apr_int64_t n;
    const char *node;
    apr_size_t len;
    apr_uint64_t start;
    pid_t pid;

    if (a->kind == A_OWNER) {
        if (strlen(text) > MAILBOXD_OWNER_MAX ||
            !mailboxd_owner_parse(&pid, &start, &node, &len, text))
            return 0;
        apr_cpystrn(at, text, MAILBOXD_OWNER_MAX + 1);
        return 1;
    }
    if (!parse_number(&n, text) || (a->kind != A_DELTA && n < 0) ||
        (a->kind == A_ID && n == 0))
        return 0;
    memcpy(at, &n, sizeof(n));
    return 1;
}

static int is_tag(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= MAILBOXD_TAG_MAX &&
           strspn(text, "0123456789abcdefghijklmnopqrstuvwxyz"
                        "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == len;
}

static int split(char **fields, char *line)
{
    int n = 0;

    for (;;) {
        if (n == MAILBOXD_FIELDS_MAX)
            return -1;
        fields[n++] = line;
        line = strchr(line, '\t');
        if (!line)
            return n;
        *line++ = '\0';
    }
}

const char *mailboxd_parse(mailboxd_request_t *request, char *line)
{
    char *fields[MAILBOXD_FIELDS_MAX];
    const argument_t *arguments;
    size_t v;
    int n, i;

    memset(request, 0, sizeof(*request));
    n = split(fields, line);
    if (n < 0)
        return "too many fields";
    if (!is_tag(fields[0]))
        return "no tag";
    apr_cpystrn(request->tag, fields[0], sizeof(request->tag));
    if (n < 2)
        return "no verb";
    for (v = 0; v < sizeof(verbs) / sizeof(verbs[0]); v++) {
        if (strcmp(verbs[v].name, fields[1]) == 0)
            break;
    }
    if (v == sizeof(verbs) / sizeof(verbs[0]))
        return "unknown verb";
    request->verb = verbs[v].verb;
    request->is_change = verbs[v].is_change;
    arguments = verbs[v].arguments;
    for (i = 0; i < ARGUMENTS_MAX && arguments[i].kind != A_NONE; i++) {
        if (i + 2 >= n) {
            if (arguments[i].optional)
                return NULL;
            return "an argument is missing";
        }
        if (!parse_argument(request, &arguments[i], fields[i + 2]))
            return "an argument is malformed";
    }
    return i + 2 < n ? "too many arguments" : NULL;
}

/* owners */

int mailboxd_owner_parse(pid_t *ppid, apr_uint64_t *pstart,
                         const char **pnode, apr_size_t *pnode_len,
                         const char *owner)
{
    const char *last = strrchr(owner, ':'), *first = last;
    apr_int64_t pid, start;
    char number[24];

    *pnode = owner;
    *pnode_len = 0;
    if (!last)
        return 0;
    while (first > owner && first[-1] != ':')
        first--;
    if (first > owner)
        *pnode_len = (apr_size_t)(first - 1 - owner);
    if ((apr_size_t)(last - first) >= sizeof(number))
        return 0;
    memcpy(number, first, (apr_size_t)(last - first));
    number[last - first] = '\0';
    if (!parse_number(&pid, number) || !parse_number(&start, last + 1) ||
        pid <= 0 || pid > 0x7fffffff || start < 0)
        return 0;
    *ppid = (pid_t)pid;
    *pstart = (apr_uint64_t)start;
    return 1;
}

/* Field 22 of /proc/<pid>/stat; the name in field 2 may hold anything, so
 * fields are counted from the last ')'. 0: not known */
static apr_uint64_t start_of(pid_t pid)
{
    char path[64], text[1024], *at;
    ssize_t n;
    int fd, field;

    apr_snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    at = strrchr(text, ')');
    for (field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

int mailboxd_owner_alive(pid_t pid, apr_uint64_t start)
{
    apr_uint64_t now;

    if (kill(pid, 0) != 0 && errno == ESRCH)
        return 0;
    now = start_of(pid);
    return !start || !now || now == start;
}
