#ifndef PLUGIN_CLIENT_H
#define PLUGIN_CLIENT_H

/* Questions to mailboxd (smtpd/mailboxd_protocol.h), one after the other, each
   waited for: they are short and group-committed on the other side. The
   connection is made at the first question and again after it broke. */

struct mailboxd_client;

struct mailboxd_client *mailboxd_client_init(const char *socket_path);
void mailboxd_client_deinit(struct mailboxd_client **client);

/* request: verb and arguments, TAB separated. Returns 1 and the fields behind
   OK (t_strsplit'ed, may be empty), 0 and the refusal's word in fields_r[0],
   or -1 and error_r: nobody answers. */
int mailboxd_call(struct mailboxd_client *client, const char *request,
		  const char *const **fields_r, const char **error_r);

/* "<pid>:<start time>" of this process, for RESERVE. */
const char *mailboxd_owner(void);

/* Calls gone() once mailboxd says that the mailbox is gone. */
struct mailboxd_watch;
struct mailboxd_watch *
mailboxd_watch_init(const char *socket_path, const char *mailbox_id,
		    void (*gone)(void *context), void *context);
void mailboxd_watch_deinit(struct mailboxd_watch **watch);

#endif
