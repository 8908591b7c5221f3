/* sender_move.h - what waits in the store for a destination that takes nothing
 * now is put off by its recipients' domain, not row by row. */
#ifndef SENDER_MOVE_H
#define SENDER_MOVE_H

#include "sender.h"

/** All that is due before then, of this row's domain to its destination: due
 * then. It happens soon, in steps; asking again costs nothing. */
void sender_move(sender_t *s, const mg_delivery_t *like, apr_time_t until);
/** At the end of each turn: steps that are due. */
void sender_moves_check(sender_t *s);
/** From time to time: forget what is over. */
void sender_moves_tidy(sender_t *s);

#endif
