/* plugin-watch.c - a session ends when its mailbox is deleted or gets another
 * password: mailboxd says GONE on a connection of its own. */
#include "lib.h"
#include "ioloop.h"
#include "istream.h"
#include "net.h"
#include "strfuncs.h"
#include "write-full.h"
#include "plugin-client.h"
#include "dovecot-compat.h"
#include "../smtpd/mailboxd_protocol.h"

#include <unistd.h>

#define RECONNECT_MSECS 2000

struct mailboxd_watch {
	char *socket_path, *mailbox_id, *revision;
	void (*gone)(void *context);
	void *context;
	int fd;
	struct istream *input;
	struct io *io;
	struct timeout *to_reconnect;
};

static void watch_connect(struct mailboxd_watch *watch);

static void watch_disconnect(struct mailboxd_watch *watch)
{
	io_remove(&watch->io);
	timeout_remove(&watch->to_reconnect);
	i_stream_unref(&watch->input);
	i_close_fd(&watch->fd);
}

static void watch_connect_later(struct mailboxd_watch *watch)
{
	watch_disconnect(watch);
	watch->to_reconnect = timeout_add(RECONNECT_MSECS, watch_connect,
					  watch);
}

static void watch_input(struct mailboxd_watch *watch)
{
	const char *line;
	ssize_t ret = i_stream_read(watch->input);

	while ((line = i_stream_next_line(watch->input)) != NULL) {
		if (str_begins_with(line, "*\tGONE\t")) {
			watch_disconnect(watch);
			watch->gone(watch->context);
			return;
		}
		if (str_begins_with(line, "w\tNO\t")) {
			/* the store does not answer now */
			watch_connect_later(watch);
			return;
		}
	}
	if (ret == -1 || ret == -2)
		watch_connect_later(watch);
}

static void watch_connect(struct mailboxd_watch *watch)
{
	const char *line;

	timeout_remove(&watch->to_reconnect);
	watch->fd = net_connect_unix(watch->socket_path);
	if (watch->fd == -1) {
		watch_connect_later(watch);
		return;
	}
	line = t_strdup_printf("w\tWATCH\t%s\t%s\n", watch->mailbox_id,
			       watch->revision);
	if (write_full(watch->fd, line, strlen(line)) < 0) {
		watch_connect_later(watch);
		return;
	}
	watch->input = i_stream_create_fd(watch->fd, MAILBOXD_LINE_MAX);
	watch->io = io_add(watch->fd, IO_READ, watch_input, watch);
}

struct mailboxd_watch *
mailboxd_watch_init(const char *socket_path, const char *mailbox_id,
		    const char *revision, void (*gone)(void *context),
		    void *context)
{
	struct mailboxd_watch *watch = i_new(struct mailboxd_watch, 1);

	watch->socket_path = i_strdup(socket_path);
	watch->mailbox_id = i_strdup(mailbox_id);
	watch->revision = i_strdup(revision);
	watch->gone = gone;
	watch->context = context;
	watch->fd = -1;
	watch_connect(watch);
	return watch;
}

void mailboxd_watch_deinit(struct mailboxd_watch **_watch)
{
	struct mailboxd_watch *watch = *_watch;

	*_watch = NULL;
	watch_disconnect(watch);
	i_free(watch->socket_path);
	i_free(watch->mailbox_id);
	i_free(watch->revision);
	i_free(watch);
}
