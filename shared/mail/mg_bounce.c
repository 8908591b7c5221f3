/* mg_bounce.c - the tables of what refusals mean (mg_bounce.h). */
#include <apr_lib.h>
#include <stdlib.h>
#include <string.h>

#include "mg_bounce.h"

typedef enum {
    C_NONE, C_UNKNOWN, C_INACTIVE, C_FULL, C_SIZE, C_DNS, C_NETWORK, C_TLS,
    C_RATE, C_GREYLIST, C_SPAM, C_BLOCKED, C_AUTH, C_POLICY, C_RELAY,
    C_CONTENT, C_PROTOCOL, C_LOOP, C_EXPIRED, C_OTHER
} class_t;

/* is_address: a permanent one says that the address is no good */
static const struct {
    const char *name;
    int is_address;
} classes[] = {
    [C_NONE] = { "other", 0 },       [C_UNKNOWN] = { "unknown", 1 },
    [C_INACTIVE] = { "inactive", 1 }, [C_FULL] = { "full", 0 },
    [C_SIZE] = { "size", 0 },        [C_DNS] = { "dns", 1 },
    [C_NETWORK] = { "network", 0 },  [C_TLS] = { "tls", 0 },
    [C_RATE] = { "rate", 0 },        [C_GREYLIST] = { "greylist", 0 },
    [C_SPAM] = { "spam", 0 },        [C_BLOCKED] = { "blocked", 0 },
    [C_AUTH] = { "auth", 0 },        [C_POLICY] = { "policy", 0 },
    [C_RELAY] = { "relay", 0 },      [C_CONTENT] = { "content", 0 },
    [C_PROTOCOL] = { "protocol", 0 }, [C_LOOP] = { "loop", 0 },
    [C_EXPIRED] = { "expired", 0 },  [C_OTHER] = { "other", 0 },
};

/* subject.detail of RFC 3463 and the IANA registry. `vague`: servers use the
 * code for all kinds of things, so words that are clear come first. */
static const struct {
    const char *code;
    class_t class;
    int vague;
} enhanced_codes[] = {
    { "1.0", C_UNKNOWN, 1 },   { "1.1", C_UNKNOWN, 1 },
    { "1.2", C_DNS, 0 },       { "1.3", C_UNKNOWN, 0 },
    { "1.4", C_UNKNOWN, 0 },   { "1.6", C_UNKNOWN, 0 },
    { "1.7", C_POLICY, 1 },    { "1.8", C_POLICY, 1 },
    { "1.9", C_OTHER, 0 },
    { "1.10", C_DNS, 1 },      /* Exchange says so of unknown users */
    { "2.0", C_OTHER, 1 },     { "2.1", C_INACTIVE, 1 },
    { "2.2", C_FULL, 0 },      { "2.3", C_SIZE, 0 },
    { "2.4", C_OTHER, 1 },     { "3.1", C_FULL, 0 },
    { "3.2", C_RATE, 1 },      { "3.4", C_SIZE, 0 },
    { "4.1", C_NETWORK, 1 },   /* Exchange refuses unknown users so */
    { "4.2", C_NETWORK, 1 },   { "4.3", C_DNS, 1 },
    { "4.4", C_DNS, 1 },       { "4.5", C_RATE, 1 },
    { "4.6", C_LOOP, 0 },      { "4.7", C_EXPIRED, 0 },
    { "5.3", C_RATE, 0 },      { "5.1", C_PROTOCOL, 1 },
    { "5.2", C_PROTOCOL, 1 },  { "5.4", C_PROTOCOL, 1 },
    { "6.0", C_CONTENT, 1 },   { "6.1", C_CONTENT, 0 },
    { "6.2", C_CONTENT, 0 },   { "6.3", C_CONTENT, 0 },
    { "6.7", C_PROTOCOL, 0 },  { "7.0", C_POLICY, 1 },
    { "7.1", C_POLICY, 1 },    { "7.2", C_POLICY, 1 },
    { "7.4", C_TLS, 1 },       { "7.5", C_TLS, 1 },
    { "7.10", C_TLS, 0 },      { "7.11", C_TLS, 0 },
    { "7.20", C_AUTH, 0 },     { "7.21", C_AUTH, 0 },
    { "7.22", C_AUTH, 0 },     { "7.23", C_AUTH, 0 },
    { "7.24", C_AUTH, 0 },     { "7.25", C_BLOCKED, 0 },
    { "7.26", C_AUTH, 0 },     { "7.27", C_POLICY, 0 },
    { "7.28", C_RATE, 0 },     { "7.29", C_AUTH, 0 },
    { "7.30", C_TLS, 0 },
};

/* The first that is found counts: what is special stands before what is
 * general. All in lower case. */
static const struct {
    const char *words;
    class_t class;
} phrases[] = {
    { "sender address rejected", C_POLICY },
    { "sender verify failed", C_POLICY }, { "sender rejected", C_POLICY },
    { "domain of sender", C_POLICY },
    { "greylist", C_GREYLIST }, { "graylist", C_GREYLIST },
    { "grey-list", C_GREYLIST }, { "grey list", C_GREYLIST },
    { "postgrey", C_GREYLIST }, { "triplet", C_GREYLIST },
    { "internal resource", C_GREYLIST }, { "too many hops", C_LOOP },
    { "mail loop", C_LOOP }, { "loop detected", C_LOOP },
    { "hop count", C_LOOP }, { "unusual rate", C_RATE },
    { "too quickly", C_RATE }, { "rate that", C_RATE },
    { "frequency limited", C_RATE }, { "server busy", C_RATE },
    { "server is busy", C_RATE }, { "slow down", C_RATE },
    { "concurrent connections", C_RATE }, { "does not accept mail", C_DNS },
    { "domain does not exist", C_DNS }, { "domain doesn't exist", C_DNS },
    { "user unknown", C_UNKNOWN }, { "unknown user", C_UNKNOWN },
    { "no such user", C_UNKNOWN }, { "no such recipient", C_UNKNOWN },
    { "no such mailbox", C_UNKNOWN }, { "no mailbox", C_UNKNOWN },
    { "no such address", C_UNKNOWN }, { "no such person", C_UNKNOWN },
    { "no such account", C_UNKNOWN }, { "unknown recipient", C_UNKNOWN },
    { "recipient unknown", C_UNKNOWN }, { "addressee unknown", C_UNKNOWN },
    { "unknown address", C_UNKNOWN }, { "unknown local part", C_UNKNOWN },
    { "unknown local-part", C_UNKNOWN },
    { "unknown or illegal alias", C_UNKNOWN },
    { "invalid recipient", C_UNKNOWN }, { "invalid mailbox", C_UNKNOWN },
    { "invalid address", C_UNKNOWN }, { "invalid user", C_UNKNOWN },
    { "recipient not found", C_UNKNOWN }, { "recipientnotfound", C_UNKNOWN },
    { "recipnotfound", C_UNKNOWN }, { "mailbox not found", C_UNKNOWN },
    { "user not found", C_UNKNOWN }, { "address not found", C_UNKNOWN },
    { "account not found", C_UNKNOWN }, { "unrouteable address", C_UNKNOWN },
    { "unroutable address", C_UNKNOWN },
    { "undeliverable address", C_UNKNOWN },
    { "not listed in domino", C_UNKNOWN },
    { "not listed in public", C_UNKNOWN },
    { "not listed in address", C_UNKNOWN }, { "does not exist", C_UNKNOWN },
    { "doesn't exist", C_UNKNOWN }, { "not a valid", C_UNKNOWN },
    { "no longer valid", C_UNKNOWN }, { "mailbox unavailable", C_UNKNOWN },
    { "not our customer", C_UNKNOWN }, { "not a known user", C_UNKNOWN },
    { "user not known", C_UNKNOWN }, { "user doesn't", C_UNKNOWN },
    { "recipient address rejected: access denied", C_UNKNOWN },
    { "account is disabled", C_INACTIVE }, { "account disabled", C_INACTIVE },
    { "mailbox disabled", C_INACTIVE }, { "mailbox is disabled", C_INACTIVE },
    { "reach is disabled", C_INACTIVE },
    { "account has been disabled", C_INACTIVE },
    { "temporarily disabled", C_INACTIVE }, { "inactive", C_INACTIVE },
    { "deactivated", C_INACTIVE }, { "suspended", C_INACTIVE },
    { "is terminated", C_INACTIVE }, { "account expired", C_INACTIVE },
    { "account is locked", C_INACTIVE }, { "no longer in use", C_INACTIVE },
    { "no longer available", C_INACTIVE }, { "discontinued", C_INACTIVE },
    { "quota", C_FULL }, { "mailbox full", C_FULL },
    { "mailbox is full", C_FULL }, { "inbox is full", C_FULL },
    { "out of storage", C_FULL }, { "not enough storage", C_FULL },
    { "exceeded storage allocation", C_FULL }, { "storage limit", C_FULL },
    { "mailbox size limit", C_FULL }, { "too large", C_SIZE },
    { "too big", C_SIZE }, { "size limit", C_SIZE },
    { "maximum size", C_SIZE }, { "size exceeds", C_SIZE },
    { "length exceeds", C_SIZE }, { "dmarc", C_AUTH }, { "dkim", C_AUTH },
    { "unauthenticated", C_AUTH }, { "spf check", C_AUTH },
    { "spf fail", C_AUTH }, { "spf validation", C_AUTH },
    { "spf record", C_AUTH }, { "sender policy framework", C_AUTH },
    { "spoof", C_AUTH }, { "blacklist", C_BLOCKED },
    { "black list", C_BLOCKED }, { "blocklist", C_BLOCKED },
    { "block list", C_BLOCKED }, { "denylist", C_BLOCKED },
    { "dnsbl", C_BLOCKED }, { " rbl", C_BLOCKED }, { "spamhaus", C_BLOCKED },
    { "spamcop", C_BLOCKED }, { "barracuda", C_BLOCKED },
    { "ipcheck.proofpoint", C_BLOCKED }, { "reputation", C_BLOCKED },
    { "banned", C_BLOCKED }, { "blocked using", C_BLOCKED },
    { "blocked for spam", C_BLOCKED }, { "ip address is blocked", C_BLOCKED },
    { "ip blocked", C_BLOCKED }, { "from your ip", C_BLOCKED },
    { "from this ip", C_BLOCKED }, { "user complaints", C_BLOCKED },
    { "client host rejected", C_BLOCKED }, { "reverse dns", C_BLOCKED },
    { "reverse hostname", C_BLOCKED }, { "ptr record", C_BLOCKED },
    { "ptr resource", C_BLOCKED }, { "dynamic ip", C_BLOCKED },
    { "ask your postmaster for help", C_BLOCKED }, { "spam", C_SPAM },
    { "unsolicited", C_SPAM }, { "bulk mail", C_SPAM }, { "junk", C_SPAM },
    { "phish", C_SPAM }, { "dt:spm", C_SPAM }, { "uribl", C_SPAM },
    { "surbl", C_SPAM }, { "virus", C_CONTENT }, { "malware", C_CONTENT },
    { "infected", C_CONTENT }, { "attachment", C_CONTENT },
    { "content presents", C_CONTENT }, { "due to content", C_CONTENT },
    { "content restriction", C_CONTENT }, { "too many", C_RATE },
    { "rate limit", C_RATE }, { "throttl", C_RATE },
    { "try again in", C_RATE }, { "relay", C_RELAY }, { "starttls", C_TLS },
    { "encryption required", C_TLS }, { "requires tls", C_TLS },
    { "tls required", C_TLS }, { "tls is required", C_TLS },
    { "no mx for", C_DNS }, { "domain not found", C_DNS },
    { "host not found", C_DNS }, { "host unknown", C_DNS },
    { "unknown host", C_DNS }, { "no such host", C_DNS },
    { "find any host", C_DNS }, { "no such domain", C_DNS },
    { "unknown domain", C_DNS }, { "unrouteable mail domain", C_DNS },
    { "unroutable mail domain", C_DNS }, { "nxdomain", C_DNS },
    { "timed out", C_NETWORK }, { "connection refused", C_NETWORK },
    { "connection reset", C_NETWORK }, { "lost connection", C_NETWORK },
    { "no route to host", C_NETWORK }, { "network is unreachable", C_NETWORK },
    { "network unreachable", C_NETWORK },
    { "establish an smtp connection", C_NETWORK },
    { "queue too long", C_EXPIRED }, { "message expired", C_EXPIRED },
    { "retry timeout exceeded", C_EXPIRED },
    { "retry time not reached", C_EXPIRED }, { "policy", C_POLICY },
    { "blocked", C_BLOCKED }, { "not allowed", C_POLICY },
    { "denied", C_POLICY }, { "prohibit", C_POLICY },
    { "service refused", C_POLICY },
};

/* Without an enhanced code or words that say more. RCPT: RFC 5321 4.2.3 has
 * 550, 551, 553 for the mailbox; content is refused for what it is. */
static const struct {
    int code;
    class_t at_rcpt, elsewhere;
} codes[] = {
    { 421, C_RATE, C_RATE },        { 450, C_OTHER, C_OTHER },
    { 452, C_FULL, C_FULL },        { 498, C_DNS, C_DNS },
    { 499, C_NETWORK, C_NETWORK },  { 521, C_POLICY, C_POLICY },
    { 530, C_POLICY, C_POLICY },    { 535, C_POLICY, C_POLICY },
    { 550, C_UNKNOWN, C_POLICY },   { 551, C_UNKNOWN, C_POLICY },
    { 552, C_FULL, C_SIZE },        { 553, C_UNKNOWN, C_POLICY },
    { 554, C_POLICY, C_POLICY },    { 556, C_DNS, C_DNS },
    { 500, C_PROTOCOL, C_PROTOCOL }, { 501, C_PROTOCOL, C_PROTOCOL },
    { 502, C_PROTOCOL, C_PROTOCOL }, { 503, C_PROTOCOL, C_PROTOCOL },
    { 555, C_PROTOCOL, C_PROTOCOL },
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))
#define LOOKED_AT 1000       /* of the words */

/* "5.1.1" at s, and no more. @return behind it; NULL: it is none */
static const char *take_enhanced(char enhanced[MG_ENHANCED_LEN], const char *s)
{
    int parts = 0, digits = 0, i;

    if ((*s != '2' && *s != '4' && *s != '5') || s[1] != '.')
        return NULL;
    for (i = 1; i < MG_ENHANCED_LEN - 1; i++) {
        if (s[i] == '.' && (i == 1 || digits > 0)) {
            parts++;
            digits = 0;
        }
        else if (apr_isdigit(s[i]) && digits < 3)
            digits++;
        else
            break;
    }
    if (parts != 2 || digits == 0 || apr_isalnum(s[i]) || s[i] == '.')
        return NULL;
    memcpy(enhanced, s, (size_t)i);
    enhanced[i] = '\0';
    return s + i;
}

/* "550 5.1.1 ...", "550: 5.1.1 ...", "550 #5.1.1 ..." (IronPort), and qmail's
 * "550 sorry, no mailbox here by that name (#5.1.1)" */
void mg_bounce_enhanced(char enhanced[MG_ENHANCED_LEN], const char *reply)
{
    const char *s = reply;

    enhanced[0] = '\0';
    if (!s)
        return;
    if (apr_isdigit(s[0]) && apr_isdigit(s[1]) && apr_isdigit(s[2])
        && (s[3] == ' ' || s[3] == '-' || s[3] == ':'))
        s += 4;
    s += strspn(s, " ");
    s += *s == '#';
    if (take_enhanced(enhanced, s))
        return;
    for (s = reply; (s = strstr(s, "(#")) != NULL; s += 2) {
        const char *end = take_enhanced(enhanced, s + 2);

        if (end && *end == ')')
            return;
        enhanced[0] = '\0';
    }
}

static class_t by_enhanced(const char *enhanced, int *pvague)
{
    size_t i;

    *pvague = 1;
    if (!*enhanced)
        return C_NONE;
    for (i = 0; i < COUNT(enhanced_codes); i++) {
        if (strcmp(enhanced_codes[i].code, enhanced + 2) == 0) {
            *pvague = enhanced_codes[i].vague;
            return enhanced_codes[i].class;
        }
    }
    return C_NONE;
}

/* In lower case, without addresses: <spam@x.test> is no word of the server's.
 */
static void words_of(char lower[LOOKED_AT + 1], const char *reply)
{
    size_t i, word = 0;
    int address = 0;

    for (i = 0; reply[i] && i < LOOKED_AT; i++) {
        lower[i] = (char)apr_tolower(reply[i]);
        if (reply[i] == '@')
            address = 1;
        if (reply[i] != ' ')
            continue;
        if (address)
            memset(lower + word, ' ', i - word);
        address = 0;
        word = i + 1;
    }
    if (address)
        memset(lower + word, ' ', i - word);
    lower[i] = '\0';
}

static class_t by_words(const char *reply)
{
    char lower[LOOKED_AT + 1];
    size_t i;

    if (!reply)
        return C_NONE;
    words_of(lower, reply);
    for (i = 0; i < COUNT(phrases); i++)
        if (strstr(lower, phrases[i].words))
            return phrases[i].class;
    return C_NONE;
}

static class_t by_code(mg_stage_t stage, int code)
{
    int rcpt = stage == MG_STAGE_RCPT; /* a report may be about anything */
    size_t i;

    for (i = 0; i < COUNT(codes); i++)
        if (codes[i].code == code)
            return rcpt ? codes[i].at_rcpt : codes[i].elsewhere;
    return C_NONE;
}

/* Was the address spoken of at all? What our DNS says is about its domain. */
static int is_about_address(mg_stage_t stage, int code, class_t class)
{
    switch (stage) {
    case MG_STAGE_NONE:
        return class == C_DNS && (code == 498 || code == 556);
    case MG_STAGE_MAIL:
    case MG_STAGE_DATA:
        return 0;
    case MG_STAGE_RCPT:
    case MG_STAGE_END:
    case MG_STAGE_HOME:
    case MG_STAGE_LATER:
        break;
    }
    return 1;
}

mg_bounce_t mg_bounce_classify(mg_stage_t stage, int code, const char *reply,
                               int permanent)
{
    char enhanced[MG_ENHANCED_LEN];
    mg_bounce_t bounce;
    class_t class, words;
    int vague;

    mg_bounce_enhanced(enhanced, reply);
    class = by_enhanced(enhanced, &vague);
    words = vague ? by_words(reply) : C_NONE;
    if (words != C_NONE)
        class = words;
    if (class == C_NONE)
        class = by_code(stage, code);

    bounce.name = classes[class].name;
    if (code >= 500 && code < 600)
        permanent = 1;
    /* a full mailbox is temporary, whatever its server calls it (manual,
     * "two groups of bounces") */
    if (!permanent || (class == C_FULL && stage != MG_STAGE_HOME))
        bounce.severity = MG_SOFT;
    else if (classes[class].is_address
             && is_about_address(stage, code, class))
        bounce.severity = MG_HARD;
    else
        bounce.severity = MG_REFUSED;
    return bounce;
}
