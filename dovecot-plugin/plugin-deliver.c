/* plugin-deliver.c - an LMTP delivery that comes again is saved once.
 *
 * The sender puts X-Mailgun-Delivery-Id on top of what it delivers. If LMTP was
 * killed between the save and its 250, the same delivery comes again: mailboxd
 * knows that it was saved, or that a save was begun and its end is unknown;
 * then the mailbox itself is looked at.
 *
 * This stands in front of all other delivery hooks (Sieve), so that a repeat
 * runs no script either.
 *
 * Mail that the receiver marked as spam (X-Mailgun-SFlag: Yes; what came from
 * outside under that name is gone by then) goes to MailgunSpamFolder: that is the
 * default folder of this delivery, for a script's keep too.
 */
#include "lib.h"
#include "mail-deliver.h"
#include "lda-settings.h"
#include "mail-namespace.h"
#include "plugin-mailgun.h"
#include "../smtpd/mailboxd_protocol.h"

#define DELIVERY_HEADER "X-Mailgun-Delivery-Id"

#define SPAM_HEADER "X-Mailgun-SFlag"

/* A begun delivery is looked for among that many newest messages: the repeat
   comes minutes later, not thousands of messages later. */
#define LOOK_BACK 2000

/* only LMTP and LDA processes have lib-lda */
deliver_mail_func_t *mail_deliver_hook_set(deliver_mail_func_t *new_hook)
	__attribute__((weak));

static deliver_mail_func_t *next_deliver;
static bool is_hooked;

static const char *delivery_id(struct mail *mail)
{
	const char *value;
	uint64_t id;

	if (mail_get_first_header(mail, DELIVERY_HEADER, &value) <= 0 ||
	    str_to_uint64(value, &id) < 0 || id == 0 || id > INT64_MAX)
		return NULL;
	return value;
}

/* 1 yes, 0 no, -1 error */
static int box_holds(struct mailbox *box, const char *id)
{
	struct mailbox_transaction_context *t;
	struct mailbox_status status;
	struct mail *mail;
	const char *value;
	uint32_t seq;
	int ret = 0, hret;

	mailbox_get_open_status(box, STATUS_MESSAGES, &status);
	t = mailbox_transaction_begin(box, 0, __func__);
	mail = mail_alloc(t, 0, NULL);
	for (seq = status.messages;
	     ret == 0 && seq > 0 && seq + LOOK_BACK > status.messages; seq--) {
		mail_set_seq(mail, seq);
		hret = mail_get_first_header(mail, DELIVERY_HEADER, &value);
		if (hret > 0 && strcmp(value, id) == 0)
			ret = 1;
		else if (hret < 0 && !mail->expunged)
			ret = -1;
	}
	mail_free(&mail);
	mailbox_transaction_rollback(&t);
	return ret;
}

static int mailbox_holds(struct mail_deliver_context *ctx, const char *id)
{
	struct mail_namespace *ns =
		mail_namespace_find(ctx->rcpt_user->namespaces,
				    ctx->rcpt_default_mailbox);
	struct mailbox *box;
	enum mail_error error;
	int ret;

	box = mailbox_alloc(ns->list, ctx->rcpt_default_mailbox,
			    MAILBOX_FLAG_READONLY);
	if (mailbox_open(box) < 0 || mailbox_sync(box, 0) < 0) {
		(void)mailbox_get_last_error(box, &error);
		ret = error == MAIL_ERROR_NOTFOUND ? 0 : -1;
	} else {
		ret = box_holds(box, id);
	}
	mailbox_free(&box);
	return ret;
}

/* 1 the mailbox has it, 0 it is new, -1 error */
static int was_saved(struct mail_deliver_context *ctx,
		     struct mailgun_user *muser, const char *id,
		     const char **error_r)
{
	const char *arguments = t_strconcat(muser->mailbox_id, "\t", id, NULL);
	const char *const *fields;
	unsigned int seen;
	int ret;

	ret = mailboxd_call(muser->socket_path,
			    t_strconcat("SEEN\t", arguments, NULL),
			    &fields, error_r);
	if (ret < 0)
		return -1;
	if (ret == 0 || fields[0] == NULL ||
	    str_to_uint(fields[0], &seen) < 0) {
		*error_r = t_strconcat("mailboxd answered to SEEN: ",
				       t_strarray_join(fields, " "), NULL);
		return -1;
	}
	if (seen != MAILBOXD_BEGUN)
		return seen == MAILBOXD_SAVED ? 1 : 0;

	ret = mailbox_holds(ctx, id);
	if (ret < 0)
		*error_r = "cannot look for a delivery in the mailbox";
	/* its bytes are booked by the recount that the dead process's
	   reservation calls for */
	if (ret > 0)
		mailboxd_tell(muser->socket_path,
			      t_strconcat("SAVED\t", arguments, NULL));
	return ret;
}

static int deliver_new(struct mail_deliver_context *ctx,
		       struct mailgun_user *muser, const char *id,
		       struct mail_storage **storage_r)
{
	int ret;

	muser->delivery_id = p_strdup(ctx->rcpt_user->pool, id);
	muser->save_ends_delivery = next_deliver == NULL;
	if (next_deliver == NULL)
		return -1;       /* "not handled": saved by default */
	ret = next_deliver(ctx, storage_r);
	if (ret > 0 || ctx->saved_mail)
		mailboxd_tell(muser->socket_path,
			      t_strconcat("SAVED\t", muser->mailbox_id, "\t",
					  id, NULL));
	else
		muser->save_ends_delivery = TRUE;
	return ret;
}

static bool is_marked_spam(struct mail *mail)
{
	const char *value;

	return mail_get_first_header(mail, SPAM_HEADER, &value) > 0 &&
		strcasecmp(value, "Yes") == 0;
}

/* The folder is made where it is not there yet: its owner asked for none. */
static void deliver_to_spam_folder(struct mail_deliver_context *ctx,
				   const char *folder)
{
	struct lda_settings *set = p_memdup(ctx->pool, ctx->set,
					    sizeof(*ctx->set));

	set->lda_mailbox_autocreate = TRUE;
	set->lda_mailbox_autosubscribe = TRUE;
	ctx->set = set;
	ctx->rcpt_default_mailbox = folder;
}

static int mailgun_deliver(struct mail_deliver_context *ctx,
			   struct mail_storage **storage_r)
{
	struct mailgun_user *muser = MAILGUN_USER_CONTEXT(ctx->rcpt_user);
	const char *id = muser == NULL ? NULL : delivery_id(ctx->src_mail);
	const char *error;
	int ret;

	if (muser != NULL)
		muser->delivery_id = NULL;
	if (muser != NULL && muser->spam_folder != NULL &&
	    is_marked_spam(ctx->src_mail))
		deliver_to_spam_folder(ctx, muser->spam_folder);
	if (id == NULL)
		return next_deliver == NULL ? -1 : next_deliver(ctx, storage_r);
	ret = was_saved(ctx, muser, id, &error);
	if (ret < 0) {
		e_error(ctx->event, "mailgun: delivery %s: %s", id, error);
		ctx->tempfail_error = "Temporary internal error";
		return -1;
	}
	if (ret > 0) {
		e_info(ctx->event, "mailgun: delivery %s was saved before, "
		       "it is not saved again", id);
		return 1;
	}
	return deliver_new(ctx, muser, id, storage_r);
}

/* At the first user, when all plugins have set their hooks: ours is the
   first that is called. */
void mailgun_deliver_init(void)
{
	if (is_hooked || mail_deliver_hook_set == NULL)
		return;
	is_hooked = TRUE;
	next_deliver = mail_deliver_hook_set(mailgun_deliver);
}

void mailgun_deliver_deinit(void)
{
	if (is_hooked)
		(void)mail_deliver_hook_set(NULL);
	is_hooked = FALSE;
}
