#ifndef PLUGIN_MAILGUN_H
#define PLUGIN_MAILGUN_H

#include "mail-user.h"
#include "mail-storage-private.h"
#include "plugin-client.h"
#include "dovecot-compat.h"

#define MAILGUN_USER_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mailgun_user_module)
#define MAILGUN_CONTEXT(obj) \
	MODULE_CONTEXT(obj, mailgun_storage_module)
#define MAILGUN_CONTEXT_REQUIRE(obj) \
	MODULE_CONTEXT_REQUIRE(obj, mailgun_storage_module)

extern MODULE_CONTEXT_DEFINE(mailgun_user_module, &mail_user_module_register);
extern MODULE_CONTEXT_DEFINE(mailgun_storage_module,
			     &mail_storage_module_register);

struct mailgun_usage {
	uint64_t bytes, messages, bytes_limit;       /* limit 0: none */
	uint64_t domain_bytes, domain_bytes_limit;
	uint64_t newest_reservation;
	bool dirty;
};

/* Present where userdb named a mailbox id: a user of our store. */
struct mailgun_user {
	union mail_user_module_context module_ctx;

	const char *mailbox_id;
	const char *socket_path;
	const char *spam_folder;   /* MailgunSpamFolder; NULL: the inbox */
	struct mailboxd_watch *watch;

	struct mailgun_usage usage;
	struct timeval usage_time;

	bool folder_deleted;

	/* LMTP: what is being delivered (X-Mailgun-Delivery-Id), or NULL */
	const char *delivery_id;
	bool save_ends_delivery;   /* no Sieve that may do more than one save */
};

struct mailgun_mailbox {
	union mailbox_module_context module_ctx;

	/* of the save that is being committed: booked by
	   mailgun_quota_update() right after */
	uint64_t reservation;
	uint64_t moved_bytes;
	unsigned int moved_messages;
	/* of expunges: booked by the sync that follows their commit */
	uint64_t guard;
	bool guard_synced;
};

extern const struct mail_storage_hooks mailgun_reserve_hooks;
extern const struct mail_storage_hooks mailgun_inbox_hooks;
extern const struct quota_backend mailgun_quota_backend;
#if DOVECOT_2_4
extern const struct quota_backend mailgun_domain_quota_backend;
#endif

/* Asked at most each 200 ms; -1 if mailboxd does not answer. */
int mailgun_user_usage(struct mailgun_user *muser,
		       const struct mailgun_usage **usage_r,
		       const char **error_r);
void mailgun_user_usage_changed(struct mailgun_user *muser);

/* plugin-quota.c: count what is dirty */
void mailgun_user_recount(struct mail_user *user);
/* What was moved into this mailbox by its last commit. */
void mailgun_book_moved(struct mailbox *box);

/* plugin-reserve.c */
enum mailgun_reserve_result {
	MAILGUN_RESERVED,
	MAILGUN_RESERVE_NO_QUOTA,
	MAILGUN_RESERVE_UNKNOWN,     /* the mailbox was deleted */
	MAILGUN_RESERVE_FAILED       /* error_r says why: try later */
};
/* A reservation of nothing always fits; it shows that something was under way
   if this process dies. */
enum mailgun_reserve_result
mailgun_reserve(struct mailgun_user *muser, uint64_t bytes,
		unsigned int messages, uint64_t *reservation_r,
		const char **error_r);
void mailgun_release(struct mailgun_user *muser, uint64_t *reservation);
/* Have it counted by the next one who looks. */
void mailgun_mark_dirty(struct mailgun_user *muser);

/* plugin-deliver.c */
void mailgun_deliver_init(void);
void mailgun_deliver_deinit(void);

#endif
