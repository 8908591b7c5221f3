/* plugin-client.c - the connection to mailboxd that questions go over.
 *
 * Blocking with a time limit: a mail process serves one user at a time, and has
 * nothing else to do until it knows whether the mail may be saved. Without an
 * answer the save fails for now ("temporary failure"), it never goes unchecked.
 *
 * A mailboxd that was started anew has closed the connection, which shows at
 * the next question only: that one is asked again, once. The protocol says
 * which questions bear that; SETTLE without a reservation does not, so nobody
 * here asks it (plugin-quota.c).
 */
#include "lib.h"
#include "array.h"
#include "net.h"
#include "strfuncs.h"
#include "write-full.h"
#include "plugin-client.h"
#include "../smtpd/mailboxd_protocol.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_SECS 20
#define UNTOLD_MAX 1000

static int client_fd = -1;
static char *client_path;
static unsigned int client_tag;
static ARRAY(char *) untold;

void mailboxd_disconnect(void)
{
	i_close_fd(&client_fd);
}

static int client_connect(const char *path, const char **error_r)
{
	struct timeval limit = { .tv_sec = ANSWER_TIMEOUT_SECS };

	if (client_path != NULL && strcmp(client_path, path) != 0) {
		mailboxd_disconnect();
		i_free(client_path);
	}
	if (client_fd != -1)
		return 0;
	if (client_path == NULL)
		client_path = i_strdup(path);
	client_fd = net_connect_unix(path);
	if (client_fd == -1) {
		*error_r = t_strdup_printf("connect(%s) failed: %m", path);
		return -1;
	}
	net_set_nonblock(client_fd, FALSE);
	if (setsockopt(client_fd, SOL_SOCKET, SO_RCVTIMEO, &limit,
		       sizeof(limit)) < 0 ||
	    setsockopt(client_fd, SOL_SOCKET, SO_SNDTIMEO, &limit,
		       sizeof(limit)) < 0)
		i_error("mailboxd: setsockopt() failed: %m");
	return 0;
}

/* One line, without LF; there is never a second one under way. */
static int client_read_line(char *line, size_t size, const char **error_r)
{
	size_t used = 0;
	ssize_t ret;

	while (used < size) {
		ret = read(client_fd, line + used, size - used);
		if (ret < 0 && errno == EINTR)
			continue;
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

static int client_exchange(const char *path, const char *line, char *answer,
			   size_t size, const char **error_r)
{
	if (client_connect(path, error_r) < 0)
		return -1;
	if (write_full(client_fd, line, strlen(line)) < 0) {
		*error_r = t_strdup_printf("mailboxd: write() failed: %m");
		return -1;
	}
	return client_read_line(answer, size, error_r);
}

static int client_ask(const char *path, const char *request,
		      const char *const **fields_r, const char **error_r)
{
	const char *tag = dec2str(++client_tag);
	const char *line = t_strconcat(tag, "\t", request, "\n", NULL);
	char answer[MAILBOXD_LINE_MAX + 1];
	const char *const *fields;
	bool was_connected = client_fd != -1;

	i_assert(strlen(line) <= MAILBOXD_LINE_MAX);
	if (client_exchange(path, line, answer, sizeof(answer), error_r) < 0) {
		mailboxd_disconnect();
		if (!was_connected ||
		    client_exchange(path, line, answer, sizeof(answer),
				    error_r) < 0) {
			mailboxd_disconnect();
			return -1;
		}
	}
	fields = t_strsplit(answer, "\t");
	if (strcmp(fields[0], tag) != 0 || fields[1] == NULL ||
	    (strcmp(fields[1], "OK") != 0 && fields[2] == NULL)) {
		*error_r = t_strdup_printf("mailboxd answered '%s'", answer);
		mailboxd_disconnect();
		return -1;
	}
	*fields_r = fields + 2;
	return strcmp(fields[1], "OK") == 0 ? 1 : 0;
}

/* --- what must be heard --- */

/* TRUE: it was heard, and if refused, for good */
static bool client_tell(const char *path, const char *request,
			const char **error_r)
{
	const char *const *fields;
	int ret = client_ask(path, request, &fields, error_r);

	if (ret > 0)
		return TRUE;
	if (ret < 0)
		return FALSE;
	*error_r = t_strconcat("mailboxd refused: ",
			       t_strarray_join(fields, " "), NULL);
	if (fields[0] != NULL && strcmp(fields[0], "TEMPORARY") == 0)
		return FALSE;
	/* a mailbox that was deleted counts no more */
	if (fields[0] == NULL || strcmp(fields[0], "UNKNOWN") != 0)
		i_error("mailgun: %s: %s", request, *error_r);
	return TRUE;
}

static bool tell_untold(const char *path, const char **error_r)
{
	char **first;

	if (!array_is_created(&untold))
		return TRUE;
	while (array_count(&untold) > 0) {
		first = array_front_modifiable(&untold);
		if (!client_tell(path, *first, error_r))
			return FALSE;
		i_free(*first);
		array_pop_front(&untold);
	}
	return TRUE;
}

int mailboxd_call(const char *socket_path, const char *request,
		  const char *const **fields_r, const char **error_r)
{
	if (!tell_untold(socket_path, error_r))
		return -1;
	return client_ask(socket_path, request, fields_r, error_r);
}

void mailboxd_tell(const char *socket_path, const char *request)
{
	const char *error;
	char *copy;

	if (tell_untold(socket_path, &error) &&
	    client_tell(socket_path, request, &error))
		return;
	i_warning("mailgun: %s: %s - it is told later", request, error);
	if (!array_is_created(&untold))
		i_array_init(&untold, 8);
	/* beyond that: what has a reservation is counted again one day */
	if (array_count(&untold) >= UNTOLD_MAX)
		return;
	copy = i_strdup(request);
	array_push_back(&untold, &copy);
}

void mailboxd_deinit(void)
{
	const char *error;
	char *request;

	if (array_is_created(&untold)) T_BEGIN {
		if (!tell_untold(client_path, &error))
			i_warning("mailgun: usage of a mailbox is not booked, "
				  "it will be counted: %s", error);
		array_foreach_elem(&untold, request)
			i_free(request);
		array_free(&untold);
	} T_END;
	mailboxd_disconnect();
	i_free(client_path);
}

/* --- who we are --- */

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
