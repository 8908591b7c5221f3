/* mg_expression.h - filters of routes (manual, "Routes").
 *
 *     expression = and *( "or" and )
 *     and        = not *( "and" not )
 *     not        = "not" not / "(" expression ")" / term
 *     term       = "match_recipient" "(" string ")"
 *                / "match_header" "(" string "," string ")"
 *                / ( "catch_all" / "catchall" ) "(" ")"
 *     string     = [ "r" ] ( "'" *char "'" / DQUOTE *char DQUOTE )
 *
 * Strings are Python's: in a plain one \\, \' and \" lose their backslash and
 * every other stays (so that "\d" and "\." are what the pattern wants); in r''
 * all stay. Regular expressions are Python's (mg_pattern.h), anchored at the
 * start as its match() is. In recipients letter case does not count, as in
 * addresses; in header fields it does, unless the pattern says (?i).
 */
#ifndef MG_EXPRESSION_H
#define MG_EXPRESSION_H

#include "mg_pattern.h"

#define MG_EXPRESSION_MAX 4096  /* octets of a filter, or of an action */

/** Between yes and no: it depends on header fields that are not known yet. */
typedef enum { MG_RULES_NO, MG_RULES_MAYBE, MG_RULES_YES } mg_rules_t;

/** What a filter is asked about. */
typedef struct {
    const char *recipient;
    const char *lower;                  /* the same, lower case; NULL if there
                                           are octets above 127 */
    const apr_array_header_t *headers;  /* of mg_header_t; NULL: not known */
    const char **lower_headers;         /* room for as many: their values so, as
                                           they are asked for; NULL: none */
    mg_rules_t matched_before;          /* has another route matched? */
    const char *whose;                  /* of which route it is, for the log */
    apr_uint32_t number;                /* of this recipient, none's before: what
                                           was asked is remembered; 0: it is not
                                           */
} mg_rule_subject_t;

typedef struct mg_expression_t mg_expression_t;

/**
 * @param patterns  those of recipients are shared in this table, and compiled
 *                  when they are needed: for routes that were checked when they
 *                  were made. NULL: at once
 * @param perror  what is wrong and where
 * @return MG_EBADINPUT
 */
apr_status_t mg_expression_compile(mg_expression_t **pexpr, const char *text,
                                   apr_hash_t *patterns, const char **perror,
                                   apr_pool_t *p);
/**
 * @param captures  or NULL: the groups of the terms that made it true, in p.
 *        Where several have a group of that number or name, the first one's.
 * @param pdecided  or NULL: the term that decided, as it is written
 */
mg_rules_t mg_expression_match(const mg_expression_t *expr,
                               const mg_rule_subject_t *subject,
                               mg_captures_t *captures,
                               const char **pdecided, apr_pool_t *p);
/** Could any match of it have that group? Of one compiled at once. */
int mg_expression_has_group(const mg_expression_t *expr, int number,
                            const char *name);

/* --- for whoever reads calls: filters and actions (mg_action.c) --- */

typedef struct {
    const char *text, *at;
    const char *error;
    apr_pool_t *p;
} mg_parse_t;

#define MG_CALL_STRINGS 2

typedef struct {
    const char *name;
    const char *strings[MG_CALL_STRINGS];
    const char *keys[MG_CALL_STRINGS]; /* notify="...": "notify"; or NULL */
    int nstrings;
} mg_call_t;

/** Sets parse->error. @return MG_EBADINPUT */
apr_status_t mg_parse_bad(mg_parse_t *parse, const char *what);
void mg_parse_space(mg_parse_t *parse);
/** name("a", 'b', key="c") */
apr_status_t mg_parse_call(mg_call_t *call, mg_parse_t *parse);

#endif
