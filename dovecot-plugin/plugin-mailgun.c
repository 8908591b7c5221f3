/* plugin-mailgun.c - the mail plugin: what it registers, and what it knows of
 * a user.
 *
 * The store says which limits a mailbox has; mailboxd speaks for the store.
 * plugin-quota.c is Dovecot's quota backend on it, plugin-reserve.c makes it
 * strict, plugin-deliver.c drops repeats of LMTP deliveries, plugin-watch.c ends
 * sessions of mailboxes that are gone, plugin-inbox.c makes INBOX.
 */
#include "lib.h"
#include "array.h"
#include "module-dir.h"
#include "time-util.h"
#include "master-service.h"
#include "mail-storage-hooks.h"
#include "quota-private.h"
#include "plugin-mailgun.h"

#define USAGE_MSECS 200

struct mailgun_user_module mailgun_user_module =
	MODULE_CONTEXT_INIT(&mail_user_module_register);
struct mailgun_storage_module mailgun_storage_module =
	MODULE_CONTEXT_INIT(&mail_storage_module_register);

extern const char *mailgun_plugin_version;
extern const char *mailgun_plugin_dependencies[];
void mailgun_plugin_init(struct module *module);
void mailgun_plugin_deinit(void);

/* --- usage --- */

static int parse_usage(struct mailgun_usage *usage, const char *const *f)
{
	uint64_t dirty;

	i_zero(usage);
	if (str_array_length(f) < 7 ||
	    str_to_uint64(f[0], &usage->bytes) < 0 ||
	    str_to_uint64(f[1], &usage->messages) < 0 ||
	    str_to_uint64(f[2], &usage->bytes_limit) < 0 ||
	    str_to_uint64(f[3], &usage->domain_bytes) < 0 ||
	    str_to_uint64(f[4], &usage->domain_bytes_limit) < 0 ||
	    str_to_uint64(f[5], &dirty) < 0 ||
	    str_to_uint64(f[6], &usage->newest_reservation) < 0)
		return -1;
	usage->dirty = dirty != 0;
	return 0;
}

int mailgun_user_usage(struct mailgun_user *muser,
		       const struct mailgun_usage **usage_r,
		       const char **error_r)
{
	const char *const *fields;
	struct timeval now;
	int ret;

	*usage_r = &muser->usage;
	i_gettimeofday(&now);
	if (muser->usage_time.tv_sec != 0 &&
	    timeval_diff_msecs(&now, &muser->usage_time) < USAGE_MSECS)
		return 0;
	ret = mailboxd_call(muser->socket_path,
			    t_strconcat("LIMITS\t", muser->mailbox_id, NULL),
			    &fields, error_r);
	if (ret < 0)
		return -1;
	if (ret == 0) {
		*error_r = t_strdup_printf("mailboxd: LIMITS %s: %s",
					   muser->mailbox_id,
					   fields[0] == NULL ? "NO" : fields[0]);
		return -1;
	}
	if (parse_usage(&muser->usage, fields) < 0) {
		*error_r = "mailboxd: LIMITS: answer not understood";
		return -1;
	}
	muser->usage_time = now;
	return 0;
}

void mailgun_user_usage_changed(struct mailgun_user *muser)
{
	i_zero(&muser->usage_time);
}

/* --- users --- */

static void mailgun_user_gone(void *context)
{
	struct mail_user *user = context;

	i_info("mailgun: mailbox %s was deleted or has a new password, "
	       "the session ends", user->username);
	/* as at a shutdown: the client gets its protocol's good-bye. (doveadm
	   kick sends SIGTERM, which is logged as a warning.) */
	master_service_stop(master_service);
}

static void mailgun_user_deinit_pre(struct mail_user *user)
{
	struct mailgun_user *muser = MAILGUN_USER_CONTEXT(user);

	i_assert(muser != NULL);
	if (muser->folder_deleted)
		mailgun_user_recount(user);
	muser->module_ctx.super.deinit_pre(user);
}

static void mailgun_user_deinit(struct mail_user *user)
{
	struct mailgun_user *muser = MAILGUN_USER_CONTEXT(user);

	i_assert(muser != NULL);
	if (muser->watch != NULL)
		mailboxd_watch_deinit(&muser->watch);
	muser->module_ctx.super.deinit(user);
}

static void mailgun_mail_user_created(struct mail_user *user)
{
	const char *id = mailgun_userdb_field(user, "mailgun_mailbox_id");
	const char *path = mailgun_userdb_field(user, "mailgun_socket");
	const char *revision = mailgun_userdb_field(user, "mailgun_revision");
	struct mail_user_vfuncs *v = user->vlast;
	struct mailgun_user *muser;

	if (id == NULL || path == NULL)
		return;
	muser = p_new(user->pool, struct mailgun_user, 1);
	muser->module_ctx.super = *v;
	user->vlast = &muser->module_ctx.super;
	v->deinit_pre = mailgun_user_deinit_pre;
	v->deinit = mailgun_user_deinit;
	MODULE_CONTEXT_SET(user, mailgun_user_module, muser);

	muser->mailbox_id = p_strdup(user->pool, id);
	muser->socket_path = p_strdup(user->pool, path);
	muser->spam_folder = p_strdup(user->pool,
		mailgun_userdb_field(user, "mailgun_spam_folder"));
	if (strcmp(user->service, "imap") == 0 ||
	    strcmp(user->service, "pop3") == 0)
		muser->watch = mailboxd_watch_init(path, id, revision == NULL ?
						   "0" : revision,
						   mailgun_user_gone, user);
	else if (strcmp(user->service, "lmtp") == 0)
		mailgun_deliver_init();
}

/* --- module --- */

static const struct mail_storage_hooks mailgun_user_hooks = {
	.mail_user_created = mailgun_mail_user_created,
};

const char *mailgun_plugin_version = DOVECOT_ABI_VERSION;
const char *mailgun_plugin_dependencies[] = { "quota", "notify", NULL };

void mailgun_plugin_init(struct module *module)
{
	mail_storage_hooks_add(module, &mailgun_user_hooks);
	mail_storage_hooks_add(module, &mailgun_reserve_hooks);
	mail_storage_hooks_add(module, &mailgun_inbox_hooks);
	quota_backend_register(&mailgun_quota_backend);
#if DOVECOT_2_4
	quota_backend_register(&mailgun_domain_quota_backend);
#endif
}

void mailgun_plugin_deinit(void)
{
	mailgun_deliver_deinit();
#if DOVECOT_2_4
	quota_backend_unregister(&mailgun_domain_quota_backend);
#endif
	quota_backend_unregister(&mailgun_quota_backend);
	mail_storage_hooks_remove(&mailgun_inbox_hooks);
	mail_storage_hooks_remove(&mailgun_reserve_hooks);
	mail_storage_hooks_remove(&mailgun_user_hooks);
	mailboxd_deinit();
}
