/* plugin-client.c - the connection to mailboxd that questions go over.
 *
 * Blocking with a time limit: a mail process serves one user, and has nothing
 * else to do until it knows whether the mail may be saved. Without an answer
 * the save fails for now ("temporary failure"), it never goes unchecked.
 */
#include "lib.h"
#include "net.h"
#include "str.h"
#include "strfuncs.h"
#include "write-full.h"
#include "plugin-client.h"
#include "../smtpd/mailboxd_protocol.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_SECS 20

struct mailboxd_client {
	char *socket_path;
	int fd;
	unsigned int tag;
};

struct mailboxd_client *mailboxd_client_init(const char *socket_path)
{
	struct mailboxd_client *client = i_new(struct mailboxd_client, 1);

	client->socket_path = i_strdup(socket_path);
	client->fd = -1;
	return client;
}

static void client_disconnect(struct mailboxd_client *client)
{
	i_close_fd(&client->fd);
}

void mailboxd_client_deinit(struct mailboxd_client **_client)
{
	struct mailboxd_client *client = *_client;

	*_client = NULL;
	client_disconnect(client);
	i_free(client->socket_path);
	i_free(client);
}

static int client_connect(struct mailboxd_client *client, const char **error_r)
{
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_SECS };

	if (client->fd != -1)
		return 0;
	client->fd = net_connect_unix(client->socket_path);
	if (client->fd == -1) {
		*error_r = t_strdup_printf("connect(%s) failed: %m",
					   client->socket_path);
		return -1;
	}
	net_set_nonblock(client->fd, FALSE);
	if (setsockopt(client->fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
		       sizeof(limit)) < 0 ||
	    setsockopt(client->fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
		       sizeof(limit)) < 0)
		i_error("mailboxd: setsockopt() failed: %m");
	return 0;
}

/* One line, without LF; there is never a second one under way. */
static int client_read_line(struct mailboxd_client *client, char *line,
			    size_t size, const char **error_r)
{
	size_t used = 0;
	ssize_t ret;

	while (used < size) {
		ret = read(client->fd, line + used, size - used);
		if (ret <= 0) {
			*error_r = ret == 0 ? "mailboxd closed the connection" :
				t_strdup_printf("mailboxd: read() failed: %m");
			return -1;
		}
		used += ret;
		if (line[used - 1] == '\n') {
			line[used - 1] = '\0';
			return 0;
		}
	}
	*error_r = "mailboxd: answer is too long";
	return -1;
}

static int client_exchange(struct mailboxd_client *client, const char *line,
			   char *answer, size_t size, const char **error_r)
{
	if (client_connect(client, error_r) < 0)
		return -1;
	if (write_full(client->fd, line, strlen(line)) < 0) {
		*error_r = t_strdup_printf("mailboxd: write() failed: %m");
		return -1;
	}
	return client_read_line(client, answer, size, error_r);
}

int mailboxd_call(struct mailboxd_client *client, const char *request,
		  const char *const **fields_r, const char **error_r)
{
	const char *tag = dec2str(++client->tag);
	const char *line = t_strconcat(tag, "\t", request, "\n", NULL);
	char answer[MAILBOXD_LINE_MAX];
	const char *const *fields;
	bool was_connected = client->fd != -1;

	if (client_exchange(client, line, answer, sizeof(answer),
			    error_r) < 0) {
		client_disconnect(client);
		/* mailboxd was started anew since the last question; a question
		   that got no answer is asked again only where nothing can
		   have come of it */
		if (!was_connected ||
		    client_exchange(client, line, answer, sizeof(answer),
				    error_r) < 0) {
			client_disconnect(client);
			return -1;
		}
	}
	fields = t_strsplit(answer, "\t");
	if (strcmp(fields[0], tag) != 0 || fields[1] == NULL) {
		*error_r = t_strdup_printf("mailboxd answered '%s'", answer);
		client_disconnect(client);
		return -1;
	}
	*fields_r = fields + 2;
	return strcmp(fields[1], "OK") == 0 ? 1 : 0;
}

const char *mailboxd_owner(void)
{
	static char owner[64];
	const char *const *fields, *p;
	char buf[1024];
	ssize_t n;
	int fd;

	if (owner[0] != '\0' &&
	    strtoul(owner, NULL, 10) == (unsigned long)getpid())
		return owner;
	i_snprintf(owner, sizeof(owner), "%ld:0", (long)getpid());
	fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
	if (fd == -1)
		return owner;
	n = read(fd, buf, sizeof(buf) - 1);
	i_close_fd(&fd);
	if (n <= 0)
		return owner;
	buf[n] = '\0';
	/* behind "(comm) ", which may hold anything, field 3 begins */
	p = strrchr(buf, ')');
	if (p == NULL || p[1] == '\0')
		return owner;
	fields = t_strsplit_spaces(p + 2, " ");
	if (str_array_length(fields) > 19)
		i_snprintf(owner, sizeof(owner), "%ld:%s", (long)getpid(),
			   fields[19]);
	return owner;
}
