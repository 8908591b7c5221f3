/* mailboxd_protocol.h - what Dovecot's mail processes ask mailboxd.
 *
 * Mail processes never open the store (design 6): quota, repeats of deliveries
 * and the end of a mailbox go through <run_dir>/mailboxd, a Unix stream
 * socket, 0660. Only root and MailgunUser (the uid mail processes run as) are
 * listened to (SO_PEERCRED); others are hung up on. This header needs nothing
 * but C, so that the plugin can include it.
 *
 * One request a line, one reply a line, fields separated by TAB, ended by LF;
 * at most MAILBOXD_LINE_MAX bytes. Numbers are decimal, 64 bits. TAG (chosen
 * by the asker, up to MAILBOXD_TAG_MAX of [0-9a-zA-Z]) tells which reply is
 * whose. There is no greeting. At most MAILBOXD_OPEN_MAX requests may be open
 * on a connection.
 *
 * What arrives together is committed together, changes first, then questions:
 * replies may come in another order than requests, and who needs an order
 * waits for the reply. An OK to a change comes after its COMMIT. A connection
 * that breaks with requests open leaves their outcome unknown: a SETTLE with a
 * reservation, RELEASE, RECOUNT and SAVED may be repeated without harm.
 *
 *   TAG LIMITS <mailbox>
 *     TAG OK <used bytes> <used messages> <limit bytes> <domain used bytes>
 *            <domain limit bytes> <dirty 0|1> <newest reservation>
 *     limits: 0 is none. dirty: a reservation outlived its process, nobody
 *     knows what was saved; the asker counts the mailbox and sends RECOUNT
 *     with that newest reservation.
 *
 *   TAG RESERVE <mailbox> <bytes> <messages> <owner> [<delivery>]
 *     TAG OK <reservation>
 *     Before a save commits. owner: "<pid>:<start time of the process,
 *     /proc/PID/stat field 22>". The reservation outlives the connection: it
 *     may be settled or released over another one. A delivery id (LMTP's
 *     X-Mailgun-Delivery-Id) is noted as begun.
 *
 *   TAG SETTLE <reservation or 0> <mailbox> <bytes delta> <messages delta>
 *              [<delivery>]
 *     TAG OK
 *     What really changed, negative for expunges; the reservation ends. A
 *     delivery id is noted as saved, in the same transaction. If the
 *     reservation is gone already (a repeat, or a RECOUNT took it in), nothing
 *     changes.
 *
 *   TAG RELEASE <reservation>            TAG OK
 *     The save was given up.
 *
 *   TAG RECOUNT <mailbox> <bytes> <messages> <newest reservation>
 *     TAG OK
 *     Absolute values, counted after the last LIMITS for it on this
 *     connection; reservations up to the newest one end.
 *     TAG NO BUSY: somebody reserved or settled since that LIMITS, or is at
 *     it, so the count may be off. LIMITS and count again; after a few times
 *     leave it: it stays dirty.
 *
 *   TAG SEEN <mailbox> <delivery>
 *     TAG OK <0|1|2>
 *     Before a delivery is saved. 1: it was saved into this mailbox before
 *     (LMTP was killed between the save and its 250): take it and save
 *     nothing. 2: a save was begun (RESERVE said so) and its end is unknown:
 *     look whether the INBOX holds a message with this X-Mailgun-Delivery-Id;
 *     if so SAVED and save nothing, else save it.
 *
 *   TAG SAVED <mailbox> <delivery>       TAG OK
 *     Note it as saved, outside of SETTLE.
 *
 *   TAG WATCH <mailbox> [<revision>]
 *     TAG OK
 *     From now on, on this connection, unasked:  * GONE <mailbox>
 *     once, when the mailbox was deleted or its password changed: end the
 *     session. If it is gone already, or is another revision than the one named
 *     (that the login found; 0: none), GONE follows at once. At most
 *     MAILBOXD_WATCH_MAX a connection.
 *   TAG UNWATCH <mailbox>                TAG OK
 *   TAG PING                             TAG OK
 *
 * Refusals, with words for the log as one more field:
 *   TAG NO QUOTA           the mailbox or its domain is full
 *   TAG NO UNKNOWN         no such mailbox (any more)
 *   TAG NO BUSY            see RECOUNT
 *   TAG NO TEMPORARY       the store does not answer; try later, save nothing
 *   TAG NO LIMIT           too many requests or watches on this connection
 *   TAG NO SYNTAX          the asker's mistake; then mailboxd closes
 */
#ifndef MAILBOXD_PROTOCOL_H
#define MAILBOXD_PROTOCOL_H

#define MAILBOXD_SOCKET "mailboxd"
#define MAILBOXD_LINE_MAX 512
#define MAILBOXD_FIELDS_MAX 10
#define MAILBOXD_TAG_MAX 20
#define MAILBOXD_OWNER_MAX 128
#define MAILBOXD_OPEN_MAX 64
#define MAILBOXD_WATCH_MAX 64

/* SEEN's answers */
enum { MAILBOXD_NEW = 0, MAILBOXD_SAVED = 1, MAILBOXD_BEGUN = 2 };

#endif
