/* mg_hit_journal.c - the journal of hits, written: lines, and their way to the
 * disk. */
#include "mg_hit_journal.h"
#include "mg_id.h"
#include "mg_json.h"
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUM_HEX 8

/* --- lines --- */

static void sum_of(char hex[SUM_HEX + 1], const char *text)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char digest[32];
    int i;

    mg_sha256(digest, text, strlen(text));
    for (i = 0; i < SUM_HEX; i++)
        hex[i] = digits[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4];
    hex[SUM_HEX] = '\0';
}

/* Members that are texts, and where they stand in a hit. */
static const struct {
    const char *name;
    apr_size_t offset;
} texts[] = {
    { "recipient", offsetof(mg_hit_t, track.recipient) },
    { "text", offsetof(mg_hit_t, track.text) },
    { "host", offsetof(mg_hit_t, host) },
    { "ip", offsetof(mg_hit_t, ip) },
    { "user-agent", offsetof(mg_hit_t, user_agent) },
    { "client-type", offsetof(mg_hit_t, client.type) },
    { "client-name", offsetof(mg_hit_t, client.name) },
    { "client-os", offsetof(mg_hit_t, client.os) },
    { "device-type", offsetof(mg_hit_t, client.device) },
    { "country", offsetof(mg_hit_t, place.country) },
    { "region", offsetof(mg_hit_t, place.region) },
    { "city", offsetof(mg_hit_t, place.city) },
};
#define TEXTS ((int)(sizeof(texts) / sizeof(texts[0])))

#define TEXT(hit, i) (*(const char **)((char *)(hit) + texts[i].offset))

char *mg_hit_to_line(const mg_hit_t *hit, apr_pool_t *p)
{
    json_t *json = json_object();
    char hex[SUM_HEX + 1], *text;
    int i;

    mg_json_bind(json, p);
    json_object_set_new(json, "kind", json_integer(hit->track.kind));
    json_object_set_new(json, "domain", json_integer(hit->track.domain_id));
    json_object_set_new(json, "message", json_integer(hit->track.message_id));
    json_object_set_new(json, "at", json_integer(hit->at));
    if (hit->event_id)
        json_object_set_new(json, "id", json_integer(hit->event_id));
    if (hit->machine)
        json_object_set_new(json, "machine", json_true());
    if (hit->undo)
        json_object_set_new(json, "undo", json_true());
    for (i = 0; i < TEXTS; i++) {
        const char *value = TEXT(hit, i);

        if (value)
            json_object_set_new(json, texts[i].name, json_string(
                mg_text_clean(value, strlen(value), p)));
    }
    text = mg_json_compact(json, p);
    sum_of(hex, text);
    return apr_pstrcat(p, hex, " ", text, "\n", NULL);
}

apr_status_t mg_hit_from_line(mg_hit_t *hit, const char *line, apr_pool_t *p)
{
    apr_size_t len = strlen(line);
    char hex[SUM_HEX + 1], *text;
    const char *error;
    json_t *json;
    int i;

    memset(hit, 0, sizeof(*hit));
    if (len < SUM_HEX + 2 || line[len - 1] != '\n' || line[SUM_HEX] != ' ')
        return MG_EBADINPUT;
    text = apr_pstrmemdup(p, line + SUM_HEX + 1, len - SUM_HEX - 2);
    sum_of(hex, text);
    if (memcmp(hex, line, SUM_HEX) != 0)
        return MG_EBADINPUT;
    json = mg_json_parse(text, strlen(text), &error, p);
    if (!json_is_object(json))
        return MG_EBADINPUT;
    hit->track.kind = (mg_track_kind_t)json_integer_value(
        json_object_get(json, "kind"));
    hit->track.domain_id = json_integer_value(json_object_get(json, "domain"));
    hit->track.message_id = json_integer_value(
        json_object_get(json, "message"));
    hit->at = json_integer_value(json_object_get(json, "at"));
    hit->event_id = json_integer_value(json_object_get(json, "id"));
    hit->machine = json_is_true(json_object_get(json, "machine"));
    hit->undo = json_is_true(json_object_get(json, "undo"));
    for (i = 0; i < TEXTS; i++)
        TEXT(hit, i) = json_string_value(json_object_get(json,
                                                         texts[i].name));
    return hit->track.recipient ? APR_SUCCESS : MG_EBADINPUT;
}

/* --- the file --- */

struct mg_hit_journal_t {
    const char *dir;
    pthread_mutex_t lock;      /* of what follows */
    int fd;                    /* -1: none yet */
    char path[512];
    apr_int64_t file_no;       /* grows with each file */
    apr_int64_t written;       /* octets of this one */
    pthread_mutex_t sync_lock; /* one at a time syncs, for all before it */
    apr_int64_t synced_file, synced;
};

static apr_status_t close_journal(void *data)
{
    mg_hit_journal_t *j = data;

    if (j->fd >= 0)
        close(j->fd);
    j->fd = -1;
    return APR_SUCCESS;
}

mg_hit_journal_t *mg_hit_journal_create(const char *dir, apr_pool_t *p)
{
    mg_hit_journal_t *j = apr_pcalloc(p, sizeof(*j));

    j->dir = apr_pstrdup(p, dir);
    j->fd = -1;
    pthread_mutex_init(&j->lock, NULL);
    pthread_mutex_init(&j->sync_lock, NULL);
    apr_pool_cleanup_register(p, j, close_journal, apr_pool_cleanup_null);
    return j;
}

apr_status_t mg_hit_journal_sync(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    apr_status_t rv = APR_SUCCESS;

    if (fd < 0)
        return errno;
    if (fsync(fd) != 0)
        rv = errno;
    close(fd);
    return rv;
}

/* The keeper is of our group. */
static apr_status_t open_file(mg_hit_journal_t *j)
{
    apr_snprintf(j->path, sizeof(j->path), "%s/hits-%016" APR_UINT64_T_HEX_FMT
                 ".open", j->dir, (apr_uint64_t)mg_id_next());
    j->fd = open(j->path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC,
                 0660);
    if (j->fd < 0)
        return errno;
    j->file_no++;
    j->written = 0;
    if (fchmod(j->fd, 0660) != 0)
        return errno;
    return mg_hit_journal_sync(j->dir);
}

static int lock_file(int fd, int how)
{
    int failed;

    do
        failed = flock(fd, how);
    while (failed && errno == EINTR);
    return !failed;
}

/* Is it still the file of that name, or did the keeper take it? */
static int is_ours(const mg_hit_journal_t *j)
{
    struct stat a, b;

    return fstat(j->fd, &a) == 0 && stat(j->path, &b) == 0
           && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

/* Open, locked, and ours. */
static apr_status_t hold_file(mg_hit_journal_t *j)
{
    apr_status_t rv;
    int tries;

    for (tries = 0; tries < 3; tries++) {
        if (j->fd < 0) {
            rv = open_file(j);
            if (rv != APR_SUCCESS) {
                close_journal(j);
                return rv;
            }
        }
        if (!lock_file(j->fd, LOCK_EX))
            return errno;
        if (is_ours(j))
            return APR_SUCCESS;
        lock_file(j->fd, LOCK_UN);
        close_journal(j);
    }
    return APR_EGENERAL;
}

/* A line is there whole, or not at all. */
static apr_status_t write_line(mg_hit_journal_t *j, const char *line)
{
    apr_size_t len = strlen(line);
    off_t before = lseek(j->fd, 0, SEEK_END);
    ssize_t n = write(j->fd, line, len);
    apr_status_t rv;

    if (n == (ssize_t)len)
        return APR_SUCCESS;
    rv = n < 0 ? errno : ENOSPC;
    if (before < 0 || ftruncate(j->fd, before) != 0)
        close_journal(j); /* the next line begins another file */
    return rv;
}

/* Where a line stands. */
typedef struct {
    int fd;                    /* a copy: another may close the journal's */
    apr_int64_t file_no, end;
} place_t;

/* Whoever comes while another syncs is served by the next sync. */
static apr_status_t sync_to(mg_hit_journal_t *j, const place_t *place)
{
    apr_int64_t upto = place->end;
    apr_status_t rv = APR_SUCCESS;

    pthread_mutex_lock(&j->sync_lock);
    if (j->synced_file != place->file_no || j->synced < place->end) {
        pthread_mutex_lock(&j->lock);
        if (j->file_no == place->file_no)
            upto = j->written;
        pthread_mutex_unlock(&j->lock);
        if (fdatasync(place->fd) != 0) {
            rv = errno;
        }
        else {
            j->synced_file = place->file_no;
            j->synced = upto;
        }
    }
    pthread_mutex_unlock(&j->sync_lock);
    return rv;
}

static apr_status_t append(place_t *place, mg_hit_journal_t *j,
                           const char *line)
{
    apr_status_t rv = hold_file(j);

    if (rv != APR_SUCCESS)
        return rv;
    rv = write_line(j, line);
    if (rv == APR_SUCCESS) {
        j->written += (apr_int64_t)strlen(line);
        place->file_no = j->file_no;
        place->end = j->written;
        place->fd = dup(j->fd);
        if (place->fd < 0)
            rv = errno;
    }
    if (j->fd >= 0)
        lock_file(j->fd, LOCK_UN);
    return rv;
}

apr_status_t mg_hit_journal_write(mg_hit_journal_t *j, const mg_hit_t *hit,
                                  apr_pool_t *ptemp)
{
    const char *line = mg_hit_to_line(hit, ptemp);
    place_t place = { -1, 0, 0 };
    apr_status_t rv;

    pthread_mutex_lock(&j->lock);
    rv = append(&place, j, line);
    pthread_mutex_unlock(&j->lock);
    if (rv != APR_SUCCESS)
        return rv;
    rv = sync_to(j, &place);
    close(place.fd);
    return rv;
}
