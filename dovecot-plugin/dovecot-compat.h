/* dovecot-compat.h - where Dovecot 2.3 and 2.4 differ; the rest of the plugin
 * reads the same for both. */
#ifndef DOVECOT_COMPAT_H
#define DOVECOT_COMPAT_H

#define DOVECOT_2_4 \
	(DOVECOT_VERSION_MAJOR * 100 + DOVECOT_VERSION_MINOR >= 204)

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
