/* mg_members_private.h - between the files of uploaded members. */
#ifndef MG_MEMBERS_PRIVATE_H
#define MG_MEMBERS_PRIVATE_H

#include "mg_members.h"

mg_members_t *mg_members_create(apr_pool_t *p);
/** One that is passed over, and why. */
void mg_members_skip(mg_members_t *members, int line, const char *error);
mg_list_member_t *mg_members_make(int subscribed, apr_pool_t *p);
/** Why it is not taken; NULL. */
const char *mg_members_check(const mg_list_member_t *member);

#endif
