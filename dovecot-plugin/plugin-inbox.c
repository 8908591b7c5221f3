/* plugin-inbox.c - a mailbox's INBOX is made by one process, before all else.
 *
 * Dovecot makes INBOX at whoever opens it first. Two processes that come at
 * once can wait for each other: making INBOX holds the lock of the list of
 * folders and then wants that list's index; bringing the index up to date holds
 * the index, opens each folder it finds (for its GUID), finds INBOX half made,
 * makes it, and so wants the list. fcntl() sees the circle and Dovecot panics
 * (2.3.19: several connections of a mail client at its first login, several
 * deliveries, or one of each). Once INBOX is there nobody makes it any more.
 *
 * So the first process takes a lock of ours in the mailbox's home and opens
 * INBOX under it; the others wait. A byte in the file says that this is done: a
 * session or delivery costs one stat() after that.
 */
#include "lib.h"
#include "mail-namespace.h"
#include "mail-storage-hooks.h"
#include "plugin-mailgun.h"
#include "mg_fault.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MADE_FILE "inbox-made"

/* Who cannot get the lock goes on without: at worst the circle above. */
#define LOCK_TRIES 1000
#define LOCK_PAUSE_USECS 10000

static bool is_made(const struct stat *st)
{
	return st->st_size > 0;
}

static int lock_in_time(int fd)
{
	unsigned int i;

	for (i = 0; i < LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK && errno != EINTR)
			return -1;
		usleep(LOCK_PAUSE_USECS);
	}
	return -1;
}

static bool make_inbox(struct mail_namespace *ns)
{
	struct mailbox *box = mailbox_alloc(ns->list, "INBOX", 0);
	bool made = mailbox_open(box) == 0;

	mailbox_free(&box);
	return made;
}

/* Under the lock. What was made but not marked, by a process that died, is
   only opened. */
static int make_and_mark(struct mail_namespace *ns, int fd)
{
	struct stat st;

	if (lock_in_time(fd) < 0 || fstat(fd, &st) < 0)
		return -1;
	/* why it cannot be opened is told by who needs it, and the next one
	   tries again */
	if (is_made(&st) || !make_inbox(ns))
		return 0;
	(void)MG_FAULT("plugin.inbox.made");
	return write(fd, "1", 1) == 1 ? 0 : -1;
}

static void mailgun_mail_namespaces_created(struct mail_namespace *namespaces)
{
	struct mail_user *user = namespaces->user;
	const char *home, *path;
	struct stat st;
	int fd;

	/* LMTP's raw user has no INBOX */
	if (MAILGUN_USER_CONTEXT(user) == NULL ||
	    mail_user_get_home(user, &home) <= 0)
		return;
	path = t_strconcat(home, "/"MADE_FILE, NULL);
	if (stat(path, &st) == 0 && is_made(&st))
		return;
	if (mail_user_home_mkdir(user) < 0)
		return;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 ||
	    make_and_mark(mail_namespace_find_inbox(namespaces), fd) < 0)
		e_error(user->event, "mailgun: %s: %m", path);
	i_close_fd(&fd);
}

const struct mail_storage_hooks mailgun_inbox_hooks = {
	.mail_namespaces_created = mailgun_mail_namespaces_created,
};
