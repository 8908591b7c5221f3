/* mg_bounce.h - what a refusal means: whose fault it is, and what follows.
 *
 *   soft     temporary; tried again, and in the end dropped (maxfails)
 *   hard     the address is no good: one attempt, then the bounce table
 *   refused  permanent, but not the address's fault (a policy, a blocked
 *            sender, a message too large): one attempt, no entry anywhere
 *
 * The class, in a word, is kept with the event. It is found by the enhanced
 * code (RFC 3463) where that says enough, else by the words, else by the three
 * digits and by where in the conversation they came: before RCPT nothing was
 * said about the address yet. docs/OPERATIONS.md shows the table.
 */
#ifndef MG_BOUNCE_H
#define MG_BOUNCE_H

/** Where it was refused. */
typedef enum {
    MG_STAGE_NONE,       /* no host was found, or none could be talked to */
    MG_STAGE_MAIL,
    MG_STAGE_RCPT,
    MG_STAGE_DATA,
    MG_STAGE_END,        /* the content's */
    MG_STAGE_HOME,       /* by us */
    MG_STAGE_LATER       /* taken, then a delivery report came back */
} mg_stage_t;

typedef enum { MG_SOFT, MG_HARD, MG_REFUSED } mg_severity_t;

typedef struct {
    mg_severity_t severity;
    const char *name;    /* "unknown", "full", "spam" ...; a literal */
} mg_bounce_t;

/**
 * @param code       the three digits; 498, 499 are ours (no MX, no connection)
 * @param reply      as it came, "550 5.1.1 no such user"; NULL: no words
 * @param permanent  it will not be tried again whatever the code is: our DNS
 *                   said for good that there is no such domain
 */
mg_bounce_t mg_bounce_classify(mg_stage_t stage, int code, const char *reply,
                               int permanent);

#define MG_ENHANCED_LEN 12
/** The enhanced code of a reply, behind its three digits or as qmail has it,
 * "(#5.1.1)"; else "". */
void mg_bounce_enhanced(char enhanced[MG_ENHANCED_LEN], const char *reply);
#endif
