/* authdb-store.h - the store as Dovecot's auth-worker sees it: read-only, one
 * look-up by address. No APR type and no Dovecot type crosses this line, so
 * that the headers of the two never meet.
 */
#ifndef AUTHDB_STORE_H
#define AUTHDB_STORE_H

#include <stdint.h>

struct authdb_login {
	int64_t mailbox_id;
	int64_t revision;         /* another one after a password change */
	char address[330];        /* as it was created, RFC 5321 4.5.3.1 */
	char password_hash[128];  /* bcrypt, $2y$ */
	char home[1024];          /* from the id, never from the address */
	char socket[256];         /* mailboxd's, for the mail plugin */
	char spam_folder[256];    /* MailgunSpamFolder; "": the inbox */
};

enum authdb_answer {
	AUTHDB_FOUND,
	AUTHDB_UNKNOWN,     /* no such mailbox, or its domain is disabled */
	AUTHDB_UNAVAILABLE  /* the store does not answer; *error_r says why */
};

/* conf_path: mailgun.conf; read once, at the first look-up of the process.
 * error_r is valid until the next call. */
enum authdb_answer authdb_find(const char *conf_path, const char *address,
			       struct authdb_login *login_r,
			       const char **error_r);

/* Every live mailbox's address, one call each; for doveadm -A. */
enum authdb_answer authdb_each(const char *conf_path,
			       void (*fn)(const char *address, void *context),
			       void *context, const char **error_r);

#endif
