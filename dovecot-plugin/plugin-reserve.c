/* plugin-reserve.c - strict quota: space is reserved before a save commits.
 *
 * Stock quota checks first and commits later, so parallel sessions overshoot.
 * Here the transaction's commit asks mailboxd for its space in one atomic step;
 * no space, no commit. The reservation ends when usage is booked
 * (plugin-quota.c); one that outlives its process marks the mailbox dirty.
 *
 * An LMTP delivery carries its id in X-Mailgun-Delivery-Id. A repeat after a
 * kill is known by it and saved once.
 */
#include "lib.h"
#include "array.h"
#include "istream.h"
#include "mail-search-build.h"
#include "mail-namespace.h"
#include "mailbox-list-private.h"
#include "plugin-mailgun.h"
#include "mg_fault.h"
#include "../smtpd/mailboxd_protocol.h"

#define DELIVERY_HEADER "X-Mailgun-Delivery-Id"

struct mailgun_transaction {
	union mailbox_transaction_module_context module_ctx;

	uint64_t bytes;
	unsigned int messages;
	char *delivery_id;
	bool failed;
};

static struct mailgun_user *box_user(struct mailbox *box)
{
	return MAILGUN_USER_CONTEXT(box->list->ns->user);
}

/* --- what a transaction will need --- */

static const char *delivery_id(struct mail *mail)
{
	const char *value;
	uint64_t id;

	if (mail_get_first_header(mail, DELIVERY_HEADER, &value) <= 0 ||
	    str_to_uint64(value, &id) < 0)
		return NULL;
	return value;
}

static int add_mail(struct mail_save_context *ctx)
{
	struct mailbox *box = ctx->transaction->box;
	struct mailgun_transaction *mt =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction);
	uoff_t size;

	if (mail_get_virtual_size(ctx->dest_mail, &size) < 0) {
		mt->failed = TRUE;
		return -1;
	}
	mt->bytes += size;
	mt->messages++;
	if (strcmp(box->storage->user->service, "lmtp") == 0 &&
	    mt->delivery_id == NULL)
		mt->delivery_id = i_strdup(delivery_id(ctx->dest_mail));
	return 0;
}

static int mailgun_save_finish(struct mail_save_context *ctx)
{
	struct mailgun_mailbox *mbox =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction->box);

	if (mbox->module_ctx.super.save_finish(ctx) < 0)
		return -1;
	return ctx->moving ? 0 : add_mail(ctx);
}

static int mailgun_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailgun_mailbox *mbox =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction->box);

	if (mbox->module_ctx.super.copy(ctx, mail) < 0)
		return -1;
	/* save_finish() was called then */
	if (ctx->moving || ctx->copying_via_save)
		return 0;
	return add_mail(ctx);
}

static struct mailbox_transaction_context *
mailgun_transaction_begin(struct mailbox *box,
			  enum mailbox_transaction_flags flags,
			  const char *reason)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	struct mailgun_transaction *mt = i_new(struct mailgun_transaction, 1);
	struct mailbox_transaction_context *t;

	t = mbox->module_ctx.super.transaction_begin(box, flags, reason);
	MODULE_CONTEXT_SET(t, mailgun_storage_module, mt);
	return t;
}

static void transaction_free(struct mailgun_transaction *mt)
{
	i_free(mt->delivery_id);
	i_free(mt);
}

/* --- was this delivery saved before? --- */

/* -1 error, 0 no, 1 yes. Asked only after a process died in the middle. */
static int find_delivery(struct mailbox *box, const char *id)
{
	struct mail_search_context *search;
	struct mailbox_transaction_context *t;
	struct mail_search_args *args;
	struct mail_search_arg *arg;
	struct mailbox *other;
	struct mail *mail;
	int ret = 0;

	/* a view of its own: the transaction's own mail is not committed */
	other = mailbox_alloc(box->list, box->vname, MAILBOX_FLAG_READONLY);
	if (mailbox_open(other) < 0 || mailbox_sync(other, 0) < 0) {
		mailbox_free(&other);
		return -1;
	}
	args = mail_search_build_init();
	arg = mail_search_build_add(args, SEARCH_HEADER);
	arg->hdr_field_name = p_strdup(args->pool, DELIVERY_HEADER);
	arg->value.str = p_strdup(args->pool, id);
	t = mailbox_transaction_begin(other, 0, __func__);
	search = mailbox_search_init(t, args, NULL, 0, NULL);
	mail_search_args_unref(&args);
	if (mailbox_search_next(search, &mail))
		ret = 1;
	if (mailbox_search_deinit(&search) < 0)
		ret = -1;
	(void)mailbox_transaction_commit(&t);
	mailbox_free(&other);
	return ret;
}

/* --- commit --- */

static int fail_commit(struct mailbox *box, enum mail_error error,
		       const char *text)
{
	mail_storage_set_error(box->storage, error, text);
	return -1;
}

static int fail_temporarily(struct mailbox *box, const char *why)
{
	mail_storage_set_critical(box->storage, "mailgun: %s: %s",
				  box->list->ns->user->username, why);
	return -1;
}

static void release(struct mailgun_user *muser, uint64_t reservation)
{
	const char *const *fields, *error;

	if (reservation == 0)
		return;
	/* without an answer it is found by the death of this process */
	if (mailboxd_call(muser->client,
			  t_strdup_printf("RELEASE\t%"PRIu64, reservation),
			  &fields, &error) < 0)
		i_warning("mailgun: RELEASE: %s", error);
}

static int refused(struct mailbox *box, const char *what,
		   const char *const *fields)
{
	return fail_temporarily(box, t_strdup_printf(
		"mailboxd refused %s: %s", what,
		fields[0] == NULL ? "NO" : t_strarray_join(fields, " ")));
}

static int reserve(struct mailbox *box, struct mailgun_transaction *mt,
		   uint64_t *reservation_r)
{
	struct mailgun_user *muser = box_user(box);
	const char *const *fields, *error;
	int ret;

	ret = mailboxd_call(muser->client,
		t_strdup_printf("RESERVE\t%s\t%"PRIu64"\t%u\t%s%s%s",
				muser->mailbox_id, mt->bytes, mt->messages,
				mailboxd_owner(),
				mt->delivery_id == NULL ? "" : "\t",
				mt->delivery_id == NULL ? "" :
				mt->delivery_id),
		&fields, &error);
	if (ret < 0)
		return fail_temporarily(box, error);
	if (ret == 0 && fields[0] != NULL && strcmp(fields[0], "QUOTA") == 0)
		return fail_commit(box, MAIL_ERROR_NOQUOTA,
			"Quota exceeded (mailbox for user is full)");
	if (ret == 0)
		return refused(box, "RESERVE", fields);
	if (fields[0] == NULL || str_to_uint64(fields[0], reservation_r) < 0)
		return fail_temporarily(box, "answer to RESERVE is damaged");
	return 0;
}

/* -1 error, 0 it is new, 1 the mailbox has it. */
static int delivery_was_saved(struct mailbox *box, const char *id)
{
	struct mailgun_user *muser = box_user(box);
	const char *arguments = t_strconcat(muser->mailbox_id, "\t", id, NULL);
	const char *const *fields, *error;
	unsigned int seen;
	int ret;

	ret = mailboxd_call(muser->client,
			    t_strconcat("SEEN\t", arguments, NULL),
			    &fields, &error);
	if (ret < 0)
		return fail_temporarily(box, error);
	if (ret == 0)
		return refused(box, "SEEN", fields);
	if (fields[0] == NULL || str_to_uint(fields[0], &seen) < 0)
		return fail_temporarily(box, "answer to SEEN is damaged");
	if (seen != MAILBOXD_BEGUN)
		return seen == MAILBOXD_SAVED ? 1 : 0;

	ret = find_delivery(box, id);
	if (ret < 0)
		return fail_temporarily(box, "cannot search for a delivery");
	/* its bytes are booked by the recount that the dead process's
	   reservation calls for */
	if (ret > 0 && mailboxd_call(muser->client,
				     t_strconcat("SAVED\t", arguments, NULL),
				     &fields, &error) < 0)
		return fail_temporarily(box, error);
	return ret;
}

/* The message is in the mailbox already: undo the save, say that it worked. */
static int drop_repeat(struct mailbox_transaction_context *t,
		       struct mail_transaction_commit_changes *changes_r)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(t->box);

	mbox->repeat = TRUE;
	i_info("mailgun: %s: a delivery that was saved before is not saved "
	       "again", t->box->list->ns->user->username);
	mbox->module_ctx.super.transaction_rollback(t);
	/* the storage's own commit makes the pool, the caller frees it */
	changes_r->pool = pool_alloconly_create(
		MEMPOOL_GROWING"mailgun repeat", 256);
	p_array_init(&changes_r->saved_uids, changes_r->pool, 1);
	return 0;
}

static int commit_saves(struct mailbox_transaction_context *t,
			struct mailgun_transaction *mt,
			struct mail_transaction_commit_changes *changes_r)
{
	struct mailbox *box = t->box;
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	uint64_t reservation = 0;
	int saved = 0;

	if (mt->delivery_id != NULL)
		saved = delivery_was_saved(box, mt->delivery_id);
	if (saved > 0)
		return drop_repeat(t, changes_r);
	if (saved < 0 || reserve(box, mt, &reservation) < 0) {
		mbox->module_ctx.super.transaction_rollback(t);
		return -1;
	}
	if (mbox->module_ctx.super.transaction_commit(t, changes_r) < 0) {
		release(box_user(box), reservation);
		return -1;
	}
	(void)MG_FAULT("plugin.save.committed");
	mbox->reservation = reservation;
	mbox->delivery_id = p_strdup(box->pool, mt->delivery_id);
	return 0;
}

static int
mailgun_transaction_commit(struct mailbox_transaction_context *t,
			   struct mail_transaction_commit_changes *changes_r)
{
	struct mailbox *box = t->box;
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	struct mailgun_transaction *mt = MAILGUN_CONTEXT_REQUIRE(t);
	int ret;

	/* the last commit's bytes came to nothing, so nobody booked them */
	release(box_user(box), mbox->reservation);
	mbox->reservation = 0;
	mbox->delivery_id = NULL;
	mbox->repeat = FALSE;

	if (mt->failed) {
		mbox->module_ctx.super.transaction_rollback(t);
		ret = -1;
	} else if (mt->messages == 0) {
		ret = mbox->module_ctx.super.transaction_commit(t, changes_r);
	} else {
		ret = commit_saves(t, mt, changes_r);
	}
	transaction_free(mt);
	return ret;
}

static void mailgun_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(t->box);
	struct mailgun_transaction *mt = MAILGUN_CONTEXT_REQUIRE(t);

	mbox->module_ctx.super.transaction_rollback(t);
	transaction_free(mt);
}

static void mailgun_mailbox_free(struct mailbox *box)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);

	release(box_user(box), mbox->reservation);
	mbox->reservation = 0;
	mbox->module_ctx.super.free(box);
}

static void mailgun_mailbox_allocated(struct mailbox *box)
{
	struct mailbox_vfuncs *v = box->vlast;
	struct mailgun_mailbox *mbox;

	if (box_user(box) == NULL)
		return;
	mbox = p_new(box->pool, struct mailgun_mailbox, 1);
	mbox->module_ctx.super = *v;
	box->vlast = &mbox->module_ctx.super;
	v->transaction_begin = mailgun_transaction_begin;
	v->transaction_commit = mailgun_transaction_commit;
	v->transaction_rollback = mailgun_transaction_rollback;
	v->save_finish = mailgun_save_finish;
	v->copy = mailgun_copy;
	v->free = mailgun_mailbox_free;
	MODULE_CONTEXT_SET(box, mailgun_storage_module, mbox);
}

const struct mail_storage_hooks mailgun_reserve_hooks = {
	.mailbox_allocated = mailgun_mailbox_allocated,
};
