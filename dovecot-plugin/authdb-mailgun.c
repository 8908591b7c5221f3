/* authdb-mailgun.c - passdb and userdb "mailgun": who may log in, and where the
 * mail is. The store is the authority; see authdb-store.h.
 *
 * Look-ups block (bcrypt takes 50 ms), so they run in auth-worker processes.
 * No cache key is set: with Dovecot's auth cache an old password would go on
 * working after a change. The user name is the full address, any case; the
 * mailbox's own spelling becomes the user.
 */
#include "auth-common.h"
#include "passdb.h"
#include "userdb.h"
#include "dovecot-version.h"
#include "array.h"
#include "authdb-store.h"
#include "dovecot-compat.h"

#include <unistd.h>

extern const char *authdb_mailgun_version;
void authdb_mailgun_init(void);
void authdb_mailgun_deinit(void);

struct mailgun_iterate {
	struct userdb_iterate_context ctx;
	pool_t pool;
	ARRAY_TYPE(const_string) users;
	unsigned int next;
};

static bool
mailgun_find(struct auth_request *request, const char *conf_path,
	     struct authdb_login *login_r, bool *unavailable_r)
{
	const char *error = NULL;

	*unavailable_r = FALSE;
	switch (authdb_find(conf_path, request->fields.user, login_r, &error)) {
	case AUTHDB_FOUND:
		return TRUE;
	case AUTHDB_UNKNOWN:
		auth_request_log_unknown_user(request, AUTH_SUBSYS_DB);
		return FALSE;
	case AUTHDB_UNAVAILABLE:
		break;
	}
	e_error(authdb_event(request), "mailgun store: %s", error);
	*unavailable_r = TRUE;
	return FALSE;
}

/* --- passdb --- */

static void
mailgun_verify_plain(struct auth_request *request, const char *password,
		     verify_plain_callback_t *callback)
{
	struct authdb_login login;
	bool unavailable;

	if (!mailgun_find(request, mailgun_conf_path(request->passdb->passdb),
			  &login, &unavailable)) {
		callback(unavailable ? PASSDB_RESULT_INTERNAL_FAILURE :
			 PASSDB_RESULT_USER_UNKNOWN, request);
		return;
	}
	auth_request_set_field(request, "user", login.address, "BLF-CRYPT");
	auth_request_set_field(request, "password", login.password_hash,
			       "BLF-CRYPT");
	callback(mailgun_verify(request, password, login.password_hash),
		 request);
}

static void
mailgun_lookup_credentials(struct auth_request *request,
			   lookup_credentials_callback_t *callback)
{
	struct authdb_login login;
	bool unavailable;

	if (!mailgun_find(request, mailgun_conf_path(request->passdb->passdb),
			  &login, &unavailable)) {
		callback(unavailable ? PASSDB_RESULT_INTERNAL_FAILURE :
			 PASSDB_RESULT_USER_UNKNOWN, NULL, 0, request);
		return;
	}
	auth_request_set_field(request, "user", login.address, "BLF-CRYPT");
	passdb_handle_credentials(PASSDB_RESULT_OK, login.password_hash,
				  "BLF-CRYPT", callback, request);
}

#if DOVECOT_2_4
static int
mailgun_passdb_preinit(pool_t pool, struct event *event ATTR_UNUSED, PASSDB_PARAMETERS
		      struct passdb_module **module_r,
		      const char **error_r ATTR_UNUSED)
{
	*module_r = p_new(pool, struct passdb_module, 1);
	(*module_r)->default_pass_scheme = "BLF-CRYPT";
	return 0;
}
#else
static struct passdb_module *
mailgun_passdb_preinit(pool_t pool, const char *args)
{
	struct passdb_module *module = p_new(pool, struct passdb_module, 1);

	module->default_pass_scheme = "BLF-CRYPT";
	module->args = p_strdup(pool, args);
	return module;
}
#endif

static void mailgun_passdb_init(struct passdb_module *module)
{
	module->blocking = TRUE;
}

static struct passdb_module_interface mailgun_passdb = {
	.name = "mailgun",
	.preinit = mailgun_passdb_preinit,
	.init = mailgun_passdb_init,
	.verify_plain = mailgun_verify_plain,
	.lookup_credentials = mailgun_lookup_credentials,
};

/* --- userdb --- */

static void
mailgun_lookup(struct auth_request *request, userdb_callback_t *callback)
{
	struct authdb_login login;
	bool unavailable;

	if (!mailgun_find(request, mailgun_conf_path(request->userdb->userdb),
			  &login, &unavailable)) {
		callback(unavailable ? USERDB_RESULT_INTERNAL_FAILURE :
			 USERDB_RESULT_USER_UNKNOWN, request);
		return;
	}
	/* auth-worker runs as the user that owns all mail */
	auth_request_set_userdb_field(request, "uid", dec2str(geteuid()));
	auth_request_set_userdb_field(request, "gid", dec2str(getegid()));
	auth_request_set_userdb_field(request, "home", login.home);
	auth_request_set_userdb_field(request, "user", login.address);
	auth_request_set_userdb_field(request, "mailgun_mailbox_id",
				      dec2str(login.mailbox_id));
	auth_request_set_userdb_field(request, "mailgun_revision",
				      dec2str(login.revision));
	auth_request_set_userdb_field(request, "mailgun_socket", login.socket);
	if (login.spam_folder[0] != '\0')
		auth_request_set_userdb_field(request, "mailgun_spam_folder",
					      login.spam_folder);
	callback(USERDB_RESULT_OK, request);
}

static void mailgun_iterate_add(const char *address, void *context)
{
	struct mailgun_iterate *iter = context;
	const char *copy = p_strdup(iter->pool, address);

	array_push_back(&iter->users, &copy);
}

static struct userdb_iterate_context *
mailgun_iterate_init(struct auth_request *request,
		     userdb_iter_callback_t *callback, void *context)
{
	pool_t pool = pool_alloconly_create("mailgun users", 4096);
	struct mailgun_iterate *iter = p_new(pool, struct mailgun_iterate, 1);
	const char *error = NULL;

	iter->pool = pool;
	iter->ctx.auth_request = request;
	iter->ctx.callback = callback;
	iter->ctx.context = context;
	p_array_init(&iter->users, pool, 64);
	if (authdb_each(mailgun_conf_path(request->userdb->userdb),
			mailgun_iterate_add,
			iter, &error) != AUTHDB_FOUND) {
		e_error(authdb_event(request), "mailgun store: %s", error);
		iter->ctx.failed = TRUE;
	}
	return &iter->ctx;
}

static void mailgun_iterate_next(struct userdb_iterate_context *ctx)
{
	struct mailgun_iterate *iter = (struct mailgun_iterate *)ctx;

	if (iter->next >= array_count(&iter->users))
		ctx->callback(NULL, ctx->context);
	else
		ctx->callback(array_idx_elem(&iter->users, iter->next++),
			      ctx->context);
}

static int mailgun_iterate_deinit(struct userdb_iterate_context *ctx)
{
	struct mailgun_iterate *iter = (struct mailgun_iterate *)ctx;
	int ret = ctx->failed ? -1 : 0;

	pool_unref(&iter->pool);
	return ret;
}

#if DOVECOT_2_4
static int
mailgun_userdb_preinit(pool_t pool, struct event *event ATTR_UNUSED, USERDB_PARAMETERS
		      struct userdb_module **module_r,
		      const char **error_r ATTR_UNUSED)
{
	*module_r = p_new(pool, struct userdb_module, 1);
	return 0;
}
#else
static struct userdb_module *
mailgun_userdb_preinit(pool_t pool, const char *args)
{
	struct userdb_module *module = p_new(pool, struct userdb_module, 1);

	module->args = p_strdup(pool, args);
	return module;
}
#endif

static void mailgun_userdb_init(struct userdb_module *module)
{
	module->blocking = TRUE;
}

static struct userdb_module_interface mailgun_userdb = {
	.name = "mailgun",
	.preinit = mailgun_userdb_preinit,
	.init = mailgun_userdb_init,
	.lookup = mailgun_lookup,
	.iterate_init = mailgun_iterate_init,
	.iterate_next = mailgun_iterate_next,
	.iterate_deinit = mailgun_iterate_deinit,
};

/* --- module --- */

const char *authdb_mailgun_version = DOVECOT_ABI_VERSION;

void authdb_mailgun_init(void)
{
	passdb_register_module(&mailgun_passdb);
	userdb_register_module(&mailgun_userdb);
}

void authdb_mailgun_deinit(void)
{
	passdb_unregister_module(&mailgun_passdb);
	userdb_unregister_module(&mailgun_userdb);
}
