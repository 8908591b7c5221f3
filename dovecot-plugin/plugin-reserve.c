/* plugin-reserve.c - strict quota: space is reserved before a save commits.
 *
 * Stock quota checks first and commits later, so parallel sessions overshoot.
 * Here the transaction's commit asks mailboxd for its space in one atomic step;
 * no space, no commit. The reservation ends when usage is booked
 * (plugin-quota.c); one that outlives its process marks the mailbox dirty.
 *
 * Moves and expunges need no space, but their booking may be cut off by a crash
 * just so: they reserve nothing, which leaves the same mark.
 */
#include "lib.h"
#include "array.h"
#include "mail-namespace.h"
#include "mailbox-list-private.h"
#include "mail-index-transaction-private.h"
#include "plugin-mailgun.h"
#include "mg_fault.h"

/* no process has this pid: a reservation of a dead owner */
#define NOBODY "2147483647:1"

struct mailgun_transaction {
	union mailbox_transaction_module_context module_ctx;

	uint64_t bytes, moved_bytes;
	unsigned int messages, moved_messages;
	bool failed;
};

static struct mailgun_user *box_user(struct mailbox *box)
{
	return MAILGUN_USER_CONTEXT(box->list->ns->user);
}

/* --- reservations --- */

static enum mailgun_reserve_result
reserve_as(struct mailgun_user *muser, const char *owner, uint64_t bytes,
	   unsigned int messages, uint64_t *reservation_r,
	   const char **error_r)
{
	const char *const *fields, *id = muser->delivery_id;
	int ret;

	if (messages == 0)
		id = NULL;
	ret = mailboxd_call(muser->socket_path,
		t_strdup_printf("RESERVE\t%s\t%"PRIu64"\t%u\t%s%s%s",
				muser->mailbox_id, bytes, messages, owner,
				id == NULL ? "" : "\t", id == NULL ? "" : id),
		&fields, error_r);
	if (ret < 0)
		return MAILGUN_RESERVE_FAILED;
	if (ret == 0 && strcmp(fields[0], "QUOTA") == 0)
		return MAILGUN_RESERVE_NO_QUOTA;
	if (ret == 0 && strcmp(fields[0], "UNKNOWN") == 0) {
		*error_r = "the mailbox was deleted";
		return MAILGUN_RESERVE_UNKNOWN;
	}
	if (ret == 0 || str_to_uint64(fields[0], reservation_r) < 0) {
		*error_r = t_strconcat("mailboxd answered to RESERVE: ",
				       t_strarray_join(fields, " "), NULL);
		return MAILGUN_RESERVE_FAILED;
	}
	return MAILGUN_RESERVED;
}

enum mailgun_reserve_result
mailgun_reserve(struct mailgun_user *muser, uint64_t bytes,
		unsigned int messages, uint64_t *reservation_r,
		const char **error_r)
{
	return reserve_as(muser, mailboxd_owner(), bytes, messages,
			  reservation_r, error_r);
}

void mailgun_release(struct mailgun_user *muser, uint64_t *reservation)
{
	if (*reservation == 0)
		return;
	mailboxd_tell(muser->socket_path,
		      t_strdup_printf("RELEASE\t%"PRIu64, *reservation));
	*reservation = 0;
}

void mailgun_mark_dirty(struct mailgun_user *muser)
{
	const char *error;
	uint64_t reservation;

	if (reserve_as(muser, NOBODY, 0, 0, &reservation, &error) ==
	    MAILGUN_RESERVE_FAILED)
		i_error("mailgun: cannot have mailbox %s counted: %s",
			muser->mailbox_id, error);
	/* mailboxd holds what a connection reserved as long as that lives */
	mailboxd_disconnect();
}

/* --- what a transaction will need --- */

static int add_mail(struct mail_save_context *ctx)
{
	struct mailgun_transaction *mt =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction);
	uoff_t size;

	if (mail_get_virtual_size(ctx->dest_mail, &size) < 0) {
		mt->failed = TRUE;
		return -1;
	}
	/* what is moved needs no more space than it had */
	if (ctx->moving) {
		mt->moved_bytes += size;
		mt->moved_messages++;
	} else {
		mt->bytes += size;
		mt->messages++;
	}
	return 0;
}

static int mailgun_save_finish(struct mail_save_context *ctx)
{
	struct mailgun_mailbox *mbox =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction->box);

	if (mbox->module_ctx.super.save_finish(ctx) < 0)
		return -1;
	return add_mail(ctx);
}

static int mailgun_copy(struct mail_save_context *ctx, struct mail *mail)
{
	struct mailgun_mailbox *mbox =
		MAILGUN_CONTEXT_REQUIRE(ctx->transaction->box);

	if (mbox->module_ctx.super.copy(ctx, mail) < 0)
		return -1;
	/* save_finish() was called then */
	return ctx->copying_via_save ? 0 : add_mail(ctx);
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

static bool has_expunges(struct mailbox_transaction_context *t)
{
	return t->itrans != NULL && array_is_created(&t->itrans->expunges) &&
		array_count(&t->itrans->expunges) > 0;
}

/* --- commit --- */

static int fail_temporarily(struct mailbox *box, const char *why)
{
	mail_storage_set_critical(box->storage, "mailgun: %s: %s",
				  box->list->ns->user->username, why);
	return -1;
}

/* The last commit's bytes came to nothing, or another session did its
   expunges: so nobody booked them. (2.4 books no moves, but their expunges.) */
static void release_leftovers(struct mailbox *box)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);

	if (DOVECOT_2_4 && mbox->reservation != 0 && mbox->moved_messages > 0)
		mailgun_book_moved(box);
	mailgun_release(box_user(box), &mbox->reservation);
	if (mbox->guard_synced)
		mailgun_release(box_user(box), &mbox->guard);
}

static int reserve(struct mailbox *box, struct mailgun_transaction *mt)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	const char *error = NULL;

	switch (mailgun_reserve(box_user(box), mt->bytes, mt->messages,
				&mbox->reservation, &error)) {
	case MAILGUN_RESERVED:
		return 0;
	case MAILGUN_RESERVE_NO_QUOTA:
		mail_storage_set_error(box->storage, MAIL_ERROR_NOQUOTA,
			"Quota exceeded (mailbox for user is full)");
		return -1;
	case MAILGUN_RESERVE_UNKNOWN:
	case MAILGUN_RESERVE_FAILED:
		break;
	}
	return fail_temporarily(box, error);
}

static int guard_expunges(struct mailbox *box)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	const char *error = NULL;

	mbox->guard_synced = FALSE;
	/* a mailbox that was deleted counts no more */
	if (mbox->guard != 0 ||
	    mailgun_reserve(box_user(box), 0, 0, &mbox->guard, &error) !=
	    MAILGUN_RESERVE_FAILED)
		return 0;
	return fail_temporarily(box, error);
}

static int
mailgun_transaction_commit(struct mailbox_transaction_context *t,
			   struct mail_transaction_commit_changes *changes_r)
{
	struct mailbox *box = t->box;
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);
	struct mailgun_transaction *mt = MAILGUN_CONTEXT_REQUIRE(t);
	bool changes = mt->messages > 0 || mt->moved_messages > 0;
	int ret;

	release_leftovers(box);
	mbox->moved_bytes = mt->moved_bytes;
	mbox->moved_messages = mt->moved_messages;
	if (mt->failed || (changes && reserve(box, mt) < 0) ||
	    (has_expunges(t) && guard_expunges(box) < 0)) {
		mbox->module_ctx.super.transaction_rollback(t);
		ret = -1;
	} else {
		ret = mbox->module_ctx.super.transaction_commit(t, changes_r);
	}
	i_free(mt);
	if (ret < 0) {
		mailgun_release(box_user(box), &mbox->reservation);
		return -1;
	}
	if (changes)
		(void)MG_FAULT("plugin.save.committed");
	return 0;
}

static void mailgun_transaction_rollback(struct mailbox_transaction_context *t)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(t->box);
	struct mailgun_transaction *mt = MAILGUN_CONTEXT_REQUIRE(t);

	mbox->module_ctx.super.transaction_rollback(t);
	i_free(mt);
}

/* --- mailboxes --- */

static struct mailbox_sync_context *
mailgun_sync_init(struct mailbox *box, enum mailbox_sync_flags flags)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);

	release_leftovers(box);
	return mbox->module_ctx.super.sync_init(box, flags);
}

static int mailgun_sync_deinit(struct mailbox_sync_context *ctx,
			       struct mailbox_sync_status *status_r)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(ctx->box);

	if (mbox->guard != 0)
		(void)MG_FAULT("plugin.expunge.synced");
	mbox->guard_synced = TRUE;
	return mbox->module_ctx.super.sync_deinit(ctx, status_r);
}

/* Others may save into a folder while it is deleted, and make it anew: then it is
   not sure what was booked. It is counted, by this session's end at the
   latest. */
static int mailgun_delete_box(struct mailbox *box)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);

	mailgun_mark_dirty(box_user(box));
	box_user(box)->folder_deleted = TRUE;
	return mbox->module_ctx.super.delete_box(box);
}

static void mailgun_mailbox_free(struct mailbox *box)
{
	struct mailgun_mailbox *mbox = MAILGUN_CONTEXT_REQUIRE(box);

	mbox->guard_synced = TRUE;
	release_leftovers(box);
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
	v->sync_init = mailgun_sync_init;
	v->sync_deinit = mailgun_sync_deinit;
	v->delete_box = mailgun_delete_box;
	v->free = mailgun_mailbox_free;
	MODULE_CONTEXT_SET(box, mailgun_storage_module, mbox);
}

const struct mail_storage_hooks mailgun_reserve_hooks = {
	.mailbox_allocated = mailgun_mailbox_allocated,
};
