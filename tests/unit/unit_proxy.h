/* unit_proxy.h - a TCP proxy in this process, between a driver and its server:
 * it adds latency, or loses what a network loses.
 */
#ifndef UNIT_PROXY_H
#define UNIT_PROXY_H

typedef struct unit_proxy_t unit_proxy_t;

enum {
    UNIT_CUT_NEVER,
    UNIT_CUT_BEFORE, /* the word never reached the server */
    UNIT_CUT_AFTER   /* it did, the server answered, the answer is lost */
};

/** @param delay_us  each way; at most one client at a time counts on it */
unit_proxy_t *unit_proxy_start(int target_port, int delay_us);
int unit_proxy_port(const unit_proxy_t *proxy);
/** Cut the connection the next time the client says word, once. */
void unit_proxy_cut(unit_proxy_t *proxy, int how, const char *word);
/** Refuse (1) or take (0) new connections; 1 ends those there are. */
void unit_proxy_down(unit_proxy_t *proxy, int down);
/** Round trips: times the client spoke after the server had. */
long unit_proxy_turns(const unit_proxy_t *proxy);
void unit_proxy_stop(unit_proxy_t *proxy);

#endif
