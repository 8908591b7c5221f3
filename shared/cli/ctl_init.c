/* ctl_init.c - mailgunctl init: what must be there before anything runs.
 *
 * Run as root, everything belongs to MailgunUser and MailgunGroup afterwards;
 * run as another user, to that user. Running it again is harmless and says so:
 * directories that exist stay as they are, of the secret and the store only
 * owner and mode are put right.
 *
 *   the store's directory  2770   the group's programs share the store
 *   store, its logs, locks 0660
 *   secret                 0640   owner MailgunUser, group root; .pub 0644
 *   tracking secrets       0640   owner root, group MailgunGroup: httpd's, too
 *   run                    2775   Dovecot's processes reach the sockets in it
 *   spool, mail            2770
 */
#include "ctl.h"
#include "mg_migrate.h"
#include "mg_status.h"
#include "mg_track.h"

#include <apr_strings.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct {
    ctl_t *ctl;
    int is_root;
    uid_t uid;
    gid_t gid;
} init_t;

static int find_owner(init_t *init)
{
    const mg_config_t *config = init->ctl->config;
    struct passwd *user;
    struct group *group;

    init->is_root = geteuid() == 0;
    if (!init->is_root)
        return 0;
    user = getpwnam(config->user);
    if (!user)
        return ctl_error(init->ctl, "there is no user '%s': make one (adduser "
                         "--system --group %s), or name another with "
                         "MailgunUser", config->user, config->user);
    group = getgrnam(config->group);
    if (!group)
        return ctl_error(init->ctl, "there is no group '%s': make one "
                         "(addgroup --system %s), or name another with "
                         "MailgunGroup", config->group, config->group);
    init->uid = user->pw_uid;
    init->gid = group->gr_gid;
    return 0;
}

static int give(init_t *init, const char *path, uid_t uid, gid_t gid)
{
    if (init->is_root && lchown(path, uid, gid) != 0)
        return ctl_failed(init->ctl, errno, "%s", path);
    return 0;
}

static int make_directory(init_t *init, const char *path, mode_t mode)
{
    struct stat st;

    if (stat(path, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return ctl_error(init->ctl, "%s is no directory", path);
        printf("directory %s exists\n", path);
        return 0;
    }
    if (mkdir(path, 0700) != 0)
        return ctl_failed(init->ctl, errno, "directory %s", path);
    /* the mode last: a change of owner takes setgid away */
    if (give(init, path, init->uid, init->gid) != 0)
        return 1;
    if (chmod(path, mode) != 0)
        return ctl_failed(init->ctl, errno, "directory %s", path);
    printf("directory %s made\n", path);
    return 0;
}

static int make_parent(init_t *init, const char *file, mode_t mode)
{
    const char *slash = strrchr(file, '/');

    if (!slash || slash == file)
        return 0;
    return make_directory(init, apr_pstrmemdup(init->ctl->pool, file,
                                               (apr_size_t)(slash - file)),
                          mode);
}

static int make_secret(init_t *init)
{
    const char *path = init->ctl->config->secret_file;
    const char *pub = apr_pstrcat(init->ctl->pool, path, ".pub", NULL);
    apr_status_t rv = mg_secret_create(path, init->ctl->pool);

    if (rv == MG_ECRYPT)
        return ctl_error(init->ctl, "%s or its .pub is damaged or does not "
                         "fit: put the right one back from a backup, sealed "
                         "keys open with no other", path);
    if (rv != APR_SUCCESS && rv != APR_EEXIST)
        return ctl_failed(init->ctl, rv, "secret %s", path);
    if (give(init, path, init->uid, 0) != 0 || give(init, pub, 0, 0) != 0)
        return 1;
    printf("secret %s %s\n", path, rv == APR_EEXIST ? "exists" : "made");
    return 0;
}

static int make_tracking_secret(init_t *init)
{
    const char *path = init->ctl->config->tracking_secret;
    apr_status_t rv = mg_track_keys_create(path, init->ctl->pool);

    if (rv == MG_ECRYPT)
        return ctl_error(init->ctl, "%s is damaged: put the right one back "
                         "from a backup, links that are out are signed with "
                         "it", path);
    if (rv != APR_SUCCESS && rv != APR_EEXIST)
        return ctl_failed(init->ctl, rv, "tracking secrets %s", path);
    if (give(init, path, 0, init->gid) != 0)
        return 1;
    printf("tracking secrets %s %s\n", path,
           rv == APR_EEXIST ? "exist" : "made");
    return 0;
}

/* The store and what stands beside it. */
static int own_store(init_t *init, const char *path)
{
    static const char *const beside[] = { "", "-wal", "-shm", "-line",
                                          "-turn" };
    apr_size_t i;

    for (i = 0; i < sizeof(beside) / sizeof(beside[0]); i++) {
        const char *name = apr_pstrcat(init->ctl->pool, path, beside[i], NULL);
        struct stat st;

        if (!init->is_root || lstat(name, &st) != 0 || !S_ISREG(st.st_mode))
            continue;
        if (give(init, name, init->uid, init->gid) != 0)
            return 1;
        if (chmod(name, 0660) != 0)
            return ctl_failed(init->ctl, errno, "%s", name);
    }
    return 0;
}

static int make_store(init_t *init)
{
    ctl_t *ctl = init->ctl;
    apr_status_t rv;
    int from, to, code = 0;

    rv = mg_db_open(&ctl->db, ctl->config->store,
                    MG_DB_CREATE | MG_DB_ANY_SCHEMA, ctl->pool);
    if (rv == APR_SUCCESS)
        rv = mg_migrate(ctl->db, &from, &to);
    if (rv != APR_SUCCESS)
        return ctl_failed(ctl, rv, "store %s", ctl_store_name(ctl));
    if (from > MG_SCHEMA_VERSION)
        return ctl_error(ctl, "the store has version %d, this program knows "
                         "%d: install the newer program", from,
                         MG_SCHEMA_VERSION);
    mg_db_close(ctl->db);
    ctl->db = NULL;
    if (strncmp(ctl->config->store, "sqlite:", 7) == 0)
        code = own_store(init, ctl->config->store + 7);
    if (code)
        return code;
    if (from == to)
        printf("store %s is up to date, version %d\n", ctl_store_name(ctl),
               to);
    else if (from == 0)
        printf("store %s made, version %d\n", ctl_store_name(ctl), to);
    else
        printf("store %s brought from version %d to %d\n",
               ctl_store_name(ctl), from, to);
    return 0;
}

int ctl_init(ctl_t *ctl)
{
    init_t init = { ctl, 0, 0, 0 };
    const mg_config_t *config;
    int code;

    if ((code = ctl_config(ctl)) != 0)
        return code;
    config = ctl->config;
    umask(0007);
    if ((code = find_owner(&init)) != 0)
        return code;
    if (strncmp(config->store, "sqlite:", 7) == 0
        && (code = make_parent(&init, config->store + 7, 02770)) != 0)
        return code;
    if ((code = make_secret(&init)) != 0
        || (code = make_tracking_secret(&init)) != 0
        || (code = make_store(&init)) != 0
        || (code = make_directory(&init, config->spool_dir, 02770)) != 0
        || (code = make_directory(&init, config->mail_dir, 02770)) != 0
        || (code = make_directory(&init, config->run_dir, 02775)) != 0)
        return code;
    return 0;
}
