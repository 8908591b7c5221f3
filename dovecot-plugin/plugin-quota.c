/* plugin-quota.c - quota backend "mailgun": usage and limits from the store.
 *
 *   quota = mailgun:User quota:scope=mailbox            quota "User quota" {
 *   quota2 = mailgun:Domain quota:scope=domain            driver = mailgun
 *                                                       }
 *                                                       quota "Domain quota" {
 *                                                         driver = mailgun_domain
 *   (2.3)                                       (2.4)   }
 *
 * Limits are read again for each check, so a change reaches sessions that are
 * open. The domain's root only shows and checks; the mailbox's root books.
 */
#include "lib.h"
#include "array.h"
#include "mailbox-list-private.h"
#include "quota-private.h"
#include "plugin-mailgun.h"

#include <unistd.h>

#define RECOUNT_TRIES 6
#define RECOUNT_PAUSE_USECS 10000

struct mailgun_quota_root {
	struct quota_root root;
	bool domain;
};

static struct mailgun_user *quota_root_user(struct quota_root *root)
{
	return MAILGUN_USER_CONTEXT(root->quota->user);
}

static struct quota_root *mailgun_quota_alloc(void)
{
	struct mailgun_quota_root *root = i_new(struct mailgun_quota_root, 1);

	return &root->root;
}

#if DOVECOT_2_4
static int mailgun_quota_init(struct quota_root *_root,
			      const char **error_r ATTR_UNUSED)
{
	struct mailgun_quota_root *root = (struct mailgun_quota_root *)_root;

	root->domain = strcmp(_root->backend.name, "mailgun_domain") == 0;
	return 0;
}
#else
static void parse_scope(struct quota_root *_root, const char *value)
{
	struct mailgun_quota_root *root = (struct mailgun_quota_root *)_root;

	root->domain = strcmp(value, "domain") == 0;
}

static int mailgun_quota_init(struct quota_root *root, const char *args,
			      const char **error_r)
{
	const struct quota_param_parser params[] = {
		{ .param_name = "scope=", .param_handler = parse_scope },
		quota_param_hidden, quota_param_ignoreunlimited,
		quota_param_noenforcing, quota_param_ns,
		{ .param_name = NULL }
	};

	return quota_parse_parameters(root, &args, error_r, params, TRUE);
}
#endif

static void mailgun_quota_deinit(struct quota_root *root)
{
	i_free(root);
}

static void set_limits(struct quota_root *_root,
		       const struct mailgun_usage *usage)
{
	struct mailgun_quota_root *root = (struct mailgun_quota_root *)_root;

	_root->bytes_limit = root->domain ? usage->domain_bytes_limit :
		usage->bytes_limit;
	_root->count_limit = 0;
}

#if !DOVECOT_2_4
static int mailgun_quota_init_limits(struct quota_root *root,
				     const char **error_r)
{
	struct mailgun_user *muser = quota_root_user(root);
	const struct mailgun_usage *usage;

	if (muser == NULL)
		return 0;
	if (mailgun_user_usage(muser, &usage, error_r) < 0)
		return -1;
	set_limits(root, usage);
	/* without this, rules such as storage=80% never fire */
	quota_root_recalculate_relative_rules(root->set, root->bytes_limit, 0);
	return 0;
}
#endif

static const char *const *
mailgun_quota_get_resources(struct quota_root *root ATTR_UNUSED)
{
	static const char *const resources[] = {
		QUOTA_NAME_STORAGE_KILOBYTES, QUOTA_NAME_MESSAGES, NULL
	};

	return resources;
}

/* Count the mailbox once and make that the truth: 1 done, 0 somebody saves at
   this moment, or quota_count() calls us, -1 error */
static int recount_once(struct quota_root *root, const char **error_r)
{
	struct mailgun_user *muser = quota_root_user(root);
	const struct mailgun_usage *usage;
	enum quota_get_result result;
	const char *const *fields, *newest;
	uint64_t bytes, count;
	int ret;

	mailgun_user_usage_changed(muser);
	if (mailgun_user_usage(muser, &usage, error_r) < 0)
		return -1;
	/* read before the count: what is reserved meanwhile stays */
	newest = dec2str(usage->newest_reservation);
	ret = quota_count(root, &bytes, &count, &result, error_r);
	if (ret <= 0)
		return ret;
	ret = mailboxd_call(muser->socket_path,
		t_strdup_printf("RECOUNT\t%s\t%"PRIu64"\t%"PRIu64"\t%s",
				muser->mailbox_id, bytes, count, newest),
		&fields, error_r);
	mailgun_user_usage_changed(muser);
	if (ret != 0)
		return ret;
	if (strcmp(fields[0], "BUSY") == 0)
		return 0;
	*error_r = t_strconcat("mailboxd answered to RECOUNT: ",
			       t_strarray_join(fields, " "), NULL);
	return -1;
}

static int recount(struct quota_root *root, unsigned int tries,
		   const char **error_r)
{
	unsigned int i;
	int ret;

	for (i = 0; i < tries; i++) {
		if (i > 0)
			usleep(RECOUNT_PAUSE_USECS << i);
		ret = recount_once(root, error_r);
		if (ret != 0)
			return ret;
	}
	*error_r = "mailbox is being changed, it cannot be counted now";
	return 0;
}

static struct quota_root *user_root(struct mail_user *user)
{
	struct quota *quota = quota_get_mail_user_quota(user);
	struct quota_root *root;

	if (quota == NULL)
		return NULL;
	array_foreach_elem(quota_all_roots(quota), root) {
		if (root->backend.v.alloc == mailgun_quota_alloc &&
		    !((struct mailgun_quota_root *)root)->domain)
			return root;
	}
	return NULL;
}

void mailgun_user_recount(struct mail_user *user)
{
	struct quota_root *root = user_root(user);
	const char *error;

	if (root != NULL)
		(void)recount(root, 3, &error);
}

static enum quota_get_result
mailgun_quota_get_resource(struct quota_root *_root, const char *name,
			   uint64_t *value_r, const char **error_r)
{
	struct mailgun_quota_root *root = (struct mailgun_quota_root *)_root;
	struct mailgun_user *muser = quota_root_user(_root);
	const struct mailgun_usage *usage;

	*value_r = 0;
	if (muser == NULL)
		return QUOTA_GET_RESULT_LIMITED;
	if (mailgun_user_usage(muser, &usage, error_r) < 0)
		return QUOTA_GET_RESULT_INTERNAL_ERROR;
	if (usage->dirty && !root->domain && !_root->recounting) {
		/* if it is busy it stays dirty: the next one counts */
		if (recount(_root, 1, error_r) < 0 ||
		    mailgun_user_usage(muser, &usage, error_r) < 0)
			return QUOTA_GET_RESULT_INTERNAL_ERROR;
	}
	set_limits(_root, usage);
	if (strcmp(name, QUOTA_NAME_STORAGE_BYTES) == 0)
		*value_r = root->domain ? usage->domain_bytes : usage->bytes;
	else if (strcmp(name, QUOTA_NAME_MESSAGES) == 0)
		*value_r = root->domain ? 0 : usage->messages;
	else {
		*error_r = QUOTA_UNKNOWN_RESOURCE_ERROR_STRING;
		return QUOTA_GET_RESULT_UNKNOWN_RESOURCE;
	}
	return QUOTA_GET_RESULT_LIMITED;
}

/* The process that syncs books expunges, even another session's: then there is
   no guard. A booking without any reservation cannot be repeated. */
static uint64_t take_reservation(struct mailgun_user *muser,
				 struct mailgun_mailbox *mbox)
{
	uint64_t *taken, reservation = 0;
	const char *error;

	if (mbox != NULL && (mbox->reservation != 0 || mbox->guard != 0)) {
		taken = mbox->reservation != 0 ? &mbox->reservation :
			&mbox->guard;
		reservation = *taken;
		*taken = 0;
		return reservation;
	}
	(void)mailgun_reserve(muser, 0, 0, &reservation, &error);
	return reservation;
}

static void settle(struct mailgun_user *muser, struct mailgun_mailbox *mbox,
		   int64_t bytes, int64_t messages)
{
	uint64_t reservation = take_reservation(muser, mbox);
	const char *delivery = "";

	if (muser->delivery_id != NULL && muser->save_ends_delivery &&
	    messages > 0)
		delivery = t_strconcat("\t", muser->delivery_id, NULL);
	mailgun_user_usage_changed(muser);
	mailboxd_tell(muser->socket_path,
		t_strdup_printf("SETTLE\t%"PRIu64"\t%s\t%"PRId64"\t%"PRId64"%s",
				reservation, muser->mailbox_id, bytes,
				messages, delivery));
}

void mailgun_book_moved(struct mailbox *box)
{
	struct mail_user *user = box->list->ns->user;
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT(box);
	struct quota_root *root = user_root(user);

	if (root != NULL && quota_root_is_visible(root, box))
		settle(MAILGUN_USER_CONTEXT(user), mbox, mbox->moved_bytes,
		       mbox->moved_messages);
}

/* doveadm quota recalc, or an expunged message whose size nobody knows */
static int recalculate(struct quota_root *root, struct mailgun_user *muser,
		       struct mailgun_mailbox *mbox,
		       struct quota_transaction_context *ctx,
		       const char **error_r)
{
	int ret;

	if (mbox != NULL) {
		mailgun_release(muser, &mbox->reservation);
		mailgun_release(muser, &mbox->guard);
	}
	ret = recount(root, RECOUNT_TRIES, error_r);
	if (ret > 0)
		return 0;
	if (ctx->recalculate == QUOTA_RECALCULATE_FORCED)
		return -1;
	mailgun_mark_dirty(muser);
	return ret;
}

static int mailgun_quota_update(struct quota_root *_root,
				struct quota_transaction_context *ctx,
				const char **error_r)
{
	struct mailgun_quota_root *root = (struct mailgun_quota_root *)_root;
	struct mailgun_user *muser = quota_root_user(_root);
	struct mailgun_mailbox *mbox = NULL;

	if (root->domain || muser == NULL)
		return 0;
	if (ctx->box != NULL)
		mbox = MAILGUN_CONTEXT(ctx->box);
	if (ctx->recalculate != QUOTA_RECALCULATE_DONT)
		return recalculate(_root, muser, mbox, ctx, error_r);
	settle(muser, mbox, ctx->bytes_used, ctx->count_used);
	return 0;
}

#define VFUNCS \
	.alloc = mailgun_quota_alloc, \
	.init = mailgun_quota_init, \
	.deinit = mailgun_quota_deinit, \
	.get_resources = mailgun_quota_get_resources, \
	.get_resource = mailgun_quota_get_resource, \
	.update = mailgun_quota_update

#if DOVECOT_2_4
const struct quota_backend mailgun_quota_backend = {
	.name = "mailgun", .use_vsize = TRUE, .v = { VFUNCS }
};
const struct quota_backend mailgun_domain_quota_backend = {
	.name = "mailgun_domain", .use_vsize = TRUE, .v = { VFUNCS }
};
#else
const struct quota_backend mailgun_quota_backend = {
	.name = "mailgun",
	.v = { VFUNCS, .init_limits = mailgun_quota_init_limits }
};
#endif
