#ifndef PLUGIN_MAILGUN_H
#define PLUGIN_MAILGUN_H

#include "mail-user.h"
#include "mail-storage-private.h"
#include "plugin-client.h"

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
	struct mailboxd_client *client;
	struct mailboxd_watch *watch;

	struct mailgun_usage usage;
	struct timeval usage_time;
};

struct mailgun_mailbox {
	union mailbox_module_context module_ctx;

	/* of the commit that is under way, for mailgun_quota_update() */
	uint64_t reservation;
	const char *delivery_id;
	bool repeat;     /* nothing was saved: it was here already */
};

extern const struct mail_storage_hooks mailgun_reserve_hooks;
extern const struct quota_backend mailgun_quota_backend;

/* Asked at most each 200 ms; -1 if mailboxd does not answer. */
int mailgun_user_usage(struct mailgun_user *muser,
		       const struct mailgun_usage **usage_r,
		       const char **error_r);
void mailgun_user_usage_changed(struct mailgun_user *muser);

#endif
