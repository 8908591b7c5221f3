/* mg_fault.h - faults and time that tests can drive (design 12).
 *
 * Only builds with -DMG_TEST have this; elsewhere MG_FAULT() is APR_SUCCESS
 * and costs nothing. The directory named by the environment variable
 * MG_TEST_DIR holds one mapped file, "faults", that httpd, smtpd, Dovecot's
 * processes and the tests share:
 *
 *     struct mg_fault_file: magic, clock offset in microseconds, 32 slots
 *     slot: name[40], action, argument, remaining count (-1: for ever), hits
 *
 * tests/stack/faults.py writes it. A slot's count is taken down atomically, so
 * "kill the first who gets here" kills one. "sender:store.commit.before" is for
 * processes alone whose title (the last part of argv[0]) has "sender" in it.
 *
 * actions: 1 kill (SIGKILL to self)   2 EIO      3 ENOSPC
 *          4 delay (argument: microseconds)      5 fail with MG_ELOST
 */
#ifndef MG_FAULT_H
#define MG_FAULT_H

#include <apr_errno.h>
#include <apr_time.h>

#ifdef MG_TEST
apr_status_t mg_fault_point(const char *name);
apr_time_t mg_fault_clock_offset(void);
#define MG_FAULT(name) mg_fault_point(name)
#else
#define MG_FAULT(name) APR_SUCCESS
#endif

/* The points there are; tests/stack/faults.py is checked against this list.
 *   store.commit.before     store.commit.after      store.begin
 *   store.sync              (in the log, not yet on disk; SQLite)
 *   content.write           queue.claim.after
 *   sender.reply.after      (remote said 250, nothing committed yet)
 *   receiver.reply.before   (committed, 250 not yet said)
 *   notifier.reply.after    lmtp.reply.after
 *   mailboxd.reserve.after  plugin.save.committed   plugin.expunge.synced
 *   plugin.inbox.made       (by this process; not yet for others)
 *   leader.commit.after     (committed, API answer not yet sent)
 */
#endif
