/* mta_room.c - a sender's connections in all: who may have one more, and who
 * gives way.
 *
 * When all MTA_CONNECTIONS are taken, a site that needs one waits in line, and
 * of those at rest the one that rested longest says QUIT: a queue to more
 * destinations than that is not worked at the pace of idle connections' ends.
 * Where many sites hang, half of the connections are for everybody's first
 * one. Our own LMTP server has room of its own.
 */
#include "mta_site_private.h"

static int room(const sender_t *s)
{
    return MTA_CONNECTIONS - s->connections;
}

int mta_room_for(mta_site_t *site)
{
    sender_t *s = site->s;

    if (site->protocol == MTA_LMTP)
        return s->connections < 2 * MTA_CONNECTIONS;
    if (site->nlinks > 0 && s->connections - s->nresting >= MTA_CONNECTIONS / 2)
        return 0;
    if (room(s) > 0)
        return 1;
    if (!site->in_line) {
        site->in_line = 1;
        site->next_in_line = NULL;
        *s->room_line_end = site;
        s->room_line_end = &site->next_in_line;
        s->nroom_line++;
    }
    return 0;
}

void mta_room_give(sender_t *s)
{
    mta_site_t *site;
    int n = room(s);

    for (; n > 0 && (site = s->room_line) != NULL; n--) {
        s->room_line = site->next_in_line;
        if (!s->room_line)
            s->room_line_end = &s->room_line;
        s->nroom_line--;
        site->in_line = 0;
        mta_site_touch(site);
    }
}

void mta_room_make(sender_t *s)
{
    while (s->nroom_line > s->nleaving
           && !APR_RING_EMPTY(&s->resting, mta_link_t, rest))
        mta_link_quit(APR_RING_FIRST(&s->resting));
}
