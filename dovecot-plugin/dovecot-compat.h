/* dovecot-compat.h - where Dovecot 2.3 and 2.4 differ; the rest of the plugin
 * reads the same for both. Included after Dovecot's own headers.
 *
 * 2.4 has no arguments of passdb, userdb and quota drivers: mailgun.conf is named
 * by import_environment, and the domain's quota has a driver name of its own.
 */
#ifndef DOVECOT_COMPAT_H
#define DOVECOT_COMPAT_H

#define DOVECOT_2_4 \
	(DOVECOT_VERSION_MAJOR * 100 + DOVECOT_VERSION_MINOR >= 204)

#if !DOVECOT_2_4
#define str_begins_with(haystack, needle) str_begins(haystack, needle)
#endif

#ifdef PASSDB_H
#if DOVECOT_2_4
/* preinit() fills module_r; 2.4.3 hands it one argument more */
#if DOVECOT_VERSION_MICRO >= 3
#define PASSDB_PARAMETERS const struct passdb_parameters *parameters ATTR_UNUSED,
#define USERDB_PARAMETERS const struct userdb_parameters *parameters ATTR_UNUSED,
#else
#define PASSDB_PARAMETERS
#define USERDB_PARAMETERS
#endif

#define auth_request_log_unknown_user(request, subsystem) \
	auth_request_db_log_unknown_user(request)

#define mailgun_conf_path(module) mailgun_conf_path_from_environment()
static inline const char *mailgun_conf_path_from_environment(void)
{
	const char *path = getenv("MAILGUN_CONF");

	return path != NULL && *path != '\0' ? path :
		"/etc/mailgun/mailgun.conf";
}

static inline enum passdb_result
mailgun_verify(struct auth_request *request, const char *password,
	       const char *hash)
{
	return auth_request_db_password_verify(request, password, hash,
					       "BLF-CRYPT");
}
#else
#define mailgun_conf_path(module) ((module)->args)

static inline enum passdb_result
mailgun_verify(struct auth_request *request, const char *password,
	       const char *hash)
{
	return auth_request_password_verify(request, password, hash,
					    "BLF-CRYPT", AUTH_SUBSYS_DB) > 0 ?
		PASSDB_RESULT_OK : PASSDB_RESULT_PASSWORD_MISMATCH;
}
#endif
#endif

#ifdef QUOTA_PRIVATE_H
#if DOVECOT_2_4
#define quota_all_roots(quota) (&(quota)->all_roots)
#else
#define quota_all_roots(quota) (&(quota)->roots)
#define quota_root_is_visible(root, box) \
	quota_root_is_namespace_visible(root, (box)->list->ns)
#endif
#endif

#ifdef MAIL_USER_H
/* What our userdb said of this user (authdb-mailgun.c). */
static inline const char *
mailgun_userdb_field(struct mail_user *user, const char *name)
{
	size_t len = strlen(name);
	const char *const *field = user->userdb_fields;

	for (; field != NULL && *field != NULL; field++) {
		if (strncmp(*field, name, len) == 0 && (*field)[len] == '=')
			return *field + len + 1;
	}
	return NULL;
}
#endif

#endif
