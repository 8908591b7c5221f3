/* mg_track_key.c - the secrets that sign tracking links, and keys made of them.
 *
 * The file is text, a line for each secret, oldest first:
 *
 *     mailgun-tracking 1
 *     key 1 <64 hex>
 *     key 2 <64 hex>
 *
 * A process keeps what it read as a set that never changes; a new file is a new
 * set, and the old ones stay until the end: some thread may look at them.
 */
#include "mg_seal.h"
#include "mg_status.h"
#include "mg_text.h"
#include "mg_time.h"
#include "mg_track_private.h"

#include <apr_strings.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD "mailgun-tracking 1\n"
#define SALT "mailgun-tracking"
#define KEY_LEN 32
#define LINE_MAX_ 80
#define FILE_MAX (sizeof(HEAD) + MG_TRACK_SECRETS_MAX * LINE_MAX_)
/* How often the file is looked at. */
#define LOOK_EVERY APR_TIME_C(1000000)

typedef struct set_t set_t;
struct set_t {
    int newest;                        /* 0: none */
    unsigned char has[MG_TRACK_SECRETS_MAX + 1];
    unsigned char prk[MG_TRACK_SECRETS_MAX + 1][KEY_LEN];
    set_t *older;
};

struct mg_track_keys_t {
    const char *path;
    _Atomic(set_t *) set;
    _Atomic apr_int64_t looked;        /* mg_ticks() */
    struct stat as_read;               /* of who won `looked` only */
};

/* --- the file --- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "key 12 <64 hex>\n" at *pat */
static apr_status_t read_line(int *pid, unsigned char raw[KEY_LEN],
                              const char **pat)
{
    const char *at = *pat;
    char *end;
    long id;
    int i;

    if (strncmp(at, "key ", 4) != 0)
        return MG_ECRYPT;
    id = strtol(at + 4, &end, 10);
    if (id < 1 || id > MG_TRACK_SECRETS_MAX || *end != ' ')
        return MG_ECRYPT;
    for (at = end + 1, i = 0; i < KEY_LEN; i++, at += 2) {
        int high = hex_digit(at[0]);
        int low = high < 0 ? -1 : hex_digit(at[1]);

        if (low < 0)
            return MG_ECRYPT;
        raw[i] = (unsigned char)(high << 4 | low);
    }
    if (*at != '\n')
        return MG_ECRYPT;
    *pid = (int)id;
    *pat = at + 1;
    return APR_SUCCESS;
}

/* HKDF-Extract (RFC 5869 2.2) of each secret: keys are expanded from that. */
static apr_status_t parse(set_t *set, const char *text)
{
    unsigned char raw[KEY_LEN];
    apr_status_t rv = APR_SUCCESS;
    const char *at;
    int id;

    memset(set, 0, sizeof(*set));
    if (strncmp(text, HEAD, sizeof(HEAD) - 1) != 0)
        return MG_ECRYPT;
    for (at = text + sizeof(HEAD) - 1; rv == APR_SUCCESS && *at;) {
        rv = read_line(&id, raw, &at);
        if (rv == APR_SUCCESS && id <= set->newest)
            rv = MG_ECRYPT;
        if (rv != APR_SUCCESS)
            break;
        mg_hmac_sha256(set->prk[id], SALT, sizeof(SALT) - 1, raw, KEY_LEN);
        set->has[id] = 1;
        set->newest = id;
    }
    OPENSSL_cleanse(raw, sizeof(raw));
    return rv == APR_SUCCESS && set->newest == 0 ? MG_ECRYPT : rv;
}

static apr_status_t read_file(char text[FILE_MAX], struct stat *st,
                              const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    apr_status_t rv = APR_SUCCESS;
    ssize_t n;

    text[0] = '\0';
    if (fd < 0)
        return errno;
    n = read(fd, text, FILE_MAX - 1);
    if (n < 0 || fstat(fd, st) != 0)
        rv = errno;
    else if (memchr(text, '\0', (size_t)n))
        rv = MG_ECRYPT;
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return rv;
}

/* On disk before it has its name. old: whose owner and mode it takes over, and
 * place; NULL: never over another. */
static apr_status_t write_file(const char *path, const char *text,
                               const struct stat *old, apr_pool_t *p)
{
    char *temp = apr_psprintf(p, "%s.new.%d", path, (int)getpid());
    apr_size_t len = strlen(text);
    apr_status_t rv = APR_SUCCESS;
    int fd;

    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (write(fd, text, len) != (ssize_t)len
        || (old && fchown(fd, old->st_uid, old->st_gid) != 0)
        || fchmod(fd, old ? old->st_mode & 07777 : 0640) != 0
        || fsync(fd) != 0)
        rv = errno ? errno : EIO;
    close(fd);
    if (rv == APR_SUCCESS
        && (old ? rename(temp, path) : link(temp, path)) != 0)
        rv = errno;
    unlink(temp);
    return rv;
}

/* "key <id> <hex>\n" with a secret that nobody has seen */
static apr_status_t new_line(char line[LINE_MAX_], int id, apr_pool_t *p)
{
    unsigned char raw[KEY_LEN];

    if (RAND_priv_bytes(raw, sizeof(raw)) != 1)
        return MG_ECRYPT;
    apr_snprintf(line, LINE_MAX_, "key %d %s\n", id,
                 mg_text_hex(raw, sizeof(raw), p));
    OPENSSL_cleanse(raw, sizeof(raw));
    return APR_SUCCESS;
}

apr_status_t mg_track_keys_create(const char *path, apr_pool_t *p)
{
    char text[FILE_MAX], line[LINE_MAX_];
    struct stat st;
    apr_status_t rv;
    set_t set;

    rv = read_file(text, &st, path);
    if (rv == APR_SUCCESS)
        rv = parse(&set, text);
    if (rv == APR_SUCCESS || !APR_STATUS_IS_ENOENT(rv))
        return rv == APR_SUCCESS ? APR_EEXIST : rv;
    rv = new_line(line, 1, p);
    if (rv == APR_SUCCESS)
        rv = write_file(path, apr_pstrcat(p, HEAD, line, NULL), NULL, p);
    return rv;
}

apr_status_t mg_track_keys_rotate(int *pid, const char *path, int forget,
                                  apr_pool_t *p)
{
    char text[FILE_MAX], line[LINE_MAX_];
    const char *kept;
    struct stat st;
    apr_status_t rv;
    set_t set;

    rv = read_file(text, &st, path);
    if (rv == APR_SUCCESS)
        rv = parse(&set, text);
    if (rv != APR_SUCCESS)
        return rv;
    if (set.newest == MG_TRACK_SECRETS_MAX)
        return MG_ELIMIT;
    *pid = set.newest + 1;
    rv = new_line(line, *pid, p);
    for (kept = text + sizeof(HEAD) - 1; forget > 0 && *kept; forget--)
        kept = strchr(kept, '\n') + 1;
    if (rv == APR_SUCCESS)
        rv = write_file(path, apr_pstrcat(p, HEAD, kept, line, NULL), &st, p);
    return rv;
}

/* --- as a process has it --- */

static int is_another(const struct stat *a, const struct stat *b)
{
    return a->st_ino != b->st_ino || a->st_dev != b->st_dev
           || a->st_size != b->st_size
           || a->st_mtim.tv_sec != b->st_mtim.tv_sec
           || a->st_mtim.tv_nsec != b->st_mtim.tv_nsec;
}

/* What cannot be read leaves what was read before. */
static apr_status_t read_set(mg_track_keys_t *keys)
{
    char text[FILE_MAX];
    struct stat st;
    apr_status_t rv;
    set_t *set;

    rv = read_file(text, &st, keys->path);
    if (rv != APR_SUCCESS)
        return rv;
    set = malloc(sizeof(*set));
    if (!set)
        return APR_ENOMEM;
    rv = parse(set, text);
    OPENSSL_cleanse(text, sizeof(text));
    if (rv != APR_SUCCESS) {
        free(set);
        return rv;
    }
    set->older = atomic_load(&keys->set);
    keys->as_read = st;
    atomic_store(&keys->set, set);
    return APR_SUCCESS;
}

/* The set of now. One thread a second looks whether the file is another. */
static const set_t *current(const mg_track_keys_t *const_keys)
{
    mg_track_keys_t *keys = (mg_track_keys_t *)const_keys;
    apr_int64_t looked = atomic_load(&keys->looked), now = mg_ticks();
    struct stat st;

    if (now - looked >= LOOK_EVERY
        && atomic_compare_exchange_strong(&keys->looked, &looked, now)
        && stat(keys->path, &st) == 0 && is_another(&st, &keys->as_read))
        read_set(keys);
    return atomic_load(&keys->set);
}

static apr_status_t free_keys(void *data)
{
    mg_track_keys_t *keys = data;
    set_t *set = atomic_load(&keys->set), *older;

    for (; set; set = older) {
        older = set->older;
        OPENSSL_cleanse(set, sizeof(*set));
        free(set);
    }
    atomic_store(&keys->set, NULL);
    return APR_SUCCESS;
}

apr_status_t mg_track_keys_load(mg_track_keys_t **pkeys, const char *path,
                                apr_pool_t *p)
{
    mg_track_keys_t *keys = apr_pcalloc(p, sizeof(*keys));

    keys->path = apr_pstrdup(p, path);
    atomic_init(&keys->set, NULL);
    atomic_init(&keys->looked, mg_ticks());
    apr_pool_cleanup_register(p, keys, free_keys, apr_pool_cleanup_null);
    *pkeys = keys;
    return read_set(keys);
}

/* --- keys --- */

int mg_track_newest(const mg_track_keys_t *keys)
{
    const set_t *set = current(keys);

    return set ? set->newest : 0;
}

/* HKDF-Expand (RFC 5869 2.3) of one block. */
apr_status_t mg_track_derive(unsigned char key[32],
                             const mg_track_keys_t *keys, int id,
                             const char *purpose, apr_int64_t domain_id)
{
    const set_t *set = current(keys);
    unsigned char info[64];
    apr_size_t n = strlen(purpose);
    int i;

    if (!set || id < 1 || id > MG_TRACK_SECRETS_MAX || !set->has[id])
        return MG_EDENIED;
    memcpy(info, purpose, n);
    for (i = 0; i < 8; i++)
        info[n++] = (unsigned char)((apr_uint64_t)domain_id >> (56 - 8 * i));
    info[n++] = (unsigned char)id;
    info[n++] = 1;
    mg_hmac_sha256(key, set->prk[id], KEY_LEN, info, n);
    return APR_SUCCESS;
}
