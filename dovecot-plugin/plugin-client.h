#ifndef PLUGIN_CLIENT_H
#define PLUGIN_CLIENT_H

/* Questions to mailboxd (smtpd/mailboxd_protocol.h), one after the other, each
   waited for: they are short and group-committed on the other side. A process
   has one connection, whichever users it serves; it is made at the first
   question and again after it broke. */

/* request: verb and arguments, TAB separated. Returns 1 and the fields behind
   OK (t_strsplit'ed, may be empty), 0 and the refusal's word in fields_r[0],
   or -1 and error_r: nobody answers. */
int mailboxd_call(const char *socket_path, const char *request,
		  const char *const **fields_r, const char **error_r);

/* What has happened and must be known: kept and told again before the next
   question if mailboxd or its store does not answer now. */
void mailboxd_tell(const char *socket_path, const char *request);

/* The next question makes a new connection. */
void mailboxd_disconnect(void);

/* Forgets the connection; tells once more what was not heard. */
void mailboxd_deinit(void);

/* "<pid>:<start time>" of this process, for RESERVE. */
const char *mailboxd_owner(void);

/* Calls gone() once mailboxd says that the mailbox is gone, or is another
   revision than the one that was logged in to. */
struct mailboxd_watch;
struct mailboxd_watch *
mailboxd_watch_init(const char *socket_path, const char *mailbox_id,
		    const char *revision, void (*gone)(void *context),
		    void *context);
void mailboxd_watch_deinit(struct mailboxd_watch **watch);

#endif
