/* mailboxd_protocol.h - what Dovecot's mail processes ask mailboxd.
 *
 * A Unix stream socket, <run_dir>/mailboxd (0660), peer's uid checked: root,
 * or MailgunUser. One request a line, one reply a line, fields separated by
 * TAB, ended by LF; at most MAILBOXD_LINE_MAX bytes. Numbers are decimal.
 * Replies may come in another order than requests; TAG (chosen by the asker,
 * up to 20 characters of [0-9a-zA-Z]) tells which is which. Writes are group
 * committed; the reply is sent after the commit.
 *
 *   TAG LIMITS <mailbox>
 *     TAG OK <used bytes> <used messages> <limit bytes> <domain used bytes>
 *            <domain limit bytes> <dirty 0|1> <newest reservation>
 *     limits: 0 is none. dirty: a reservation outlived its process; the asker
 *     counts the mailbox and sends RECOUNT with that newest reservation.
 *
 *   TAG RESERVE <mailbox> <bytes> <messages> <owner>
 *     TAG OK <reservation>
 *     owner: "<pid>:<start time of the process, /proc/PID/stat field 22>"
 *
 *   TAG SETTLE <reservation or 0> <mailbox> <bytes delta> <messages delta>
 *              [<delivery>]
 *     TAG OK
 *     what really changed, negative for expunges; the reservation ends. A
 *     delivery id, if there is one, is remembered for SEEN.
 *
 *   TAG RELEASE <reservation>            TAG OK
 *
 *   TAG RECOUNT <mailbox> <bytes> <messages> <newest reservation>
 *     TAG OK
 *     absolute values; reservations up to the newest one end.
 *
 *   TAG SEEN <mailbox> <delivery>
 *     TAG OK <0|1>
 *     1: this delivery was saved into this mailbox before (LMTP was killed
 *     between the save and its 250): take it and save nothing.
 *
 *   TAG WATCH <mailbox>
 *     TAG OK
 *     From now on, on this connection, unasked:  * GONE <mailbox>
 *     once the mailbox was deleted or its password changed: end the session.
 *
 * Refusals:  TAG NO QUOTA           the mailbox or its domain is full
 *            TAG NO UNKNOWN         no such mailbox (any more)
 *            TAG NO TEMPORARY       the store does not answer; try later
 *            TAG NO SYNTAX          the asker's mistake; then mailboxd closes
 */
#ifndef MAILBOXD_PROTOCOL_H
#define MAILBOXD_PROTOCOL_H

#define MAILBOXD_SOCKET "mailboxd"
#define MAILBOXD_LINE_MAX 512
#define MAILBOXD_FIELDS_MAX 10

#endif
