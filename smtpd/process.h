/* process.h - what a daemon needs of the system: rights, title, log file,
 * descriptors, its service manager. */
#ifndef PROCESS_H
#define PROCESS_H

#include <sys/types.h>

#include <apr_pools.h>

/** First thing in main(): makes room for titles. */
void process_init(int argc, char **argv);
/** What ps shows: "mailgun-smtpd: sender 0". */
void process_title(const char *title);

/** Lines go to this file from now on; NULL: to stderr as it is. The file is
 * made with that owner, so that workers can reopen it. */
apr_status_t process_log_to(const char *path, uid_t uid, gid_t gid);
void process_reopen_log(void);

/** For good: groups, gid, uid, no_new_privs. Not as root: only the last. */
apr_status_t process_drop(const char *user, uid_t uid, gid_t gid);
/** For the time being, to make files that workers own; and back. */
void process_act_as(uid_t uid, gid_t gid);
void process_act_as_root(void);

/** All but 0, 1, 2 and these. */
void process_close_others(int *keep, int n);
/** As many descriptors as the system lets us have. */
void process_raise_limits(void);
/** sd_notify(3): "READY=1"; nothing without a service manager. */
void process_notify(const char *state);

#endif
