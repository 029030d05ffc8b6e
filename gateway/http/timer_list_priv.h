/*
 * timer_list: deadlines that are all equally far away when they are set, so that a list in order of
 * setting is in order of expiry. Monotonic time (libh2o's own timeouts follow the wall clock). One
 * thread.
 */
#ifndef SLUICE_HTTP_TIMER_LIST_PRIV_H
#define SLUICE_HTTP_TIMER_LIST_PRIV_H

#include <h2o/linklist.h>
#include <stdint.h>

/* Zero-initialise. In at most one list at a time. */
struct timer {
	h2o_linklist_t link;
	uint64_t deadline_ms;
};

struct timer_list {
	h2o_linklist_t timers;
	uint32_t duration_ms;
	void (*expire)(struct timer *timer);
};

void timer_list_init(struct timer_list *list, uint32_t duration_ms,
		     void (*expire)(struct timer *timer));
/* Sets it, again where it is set, also from another list. */
void timer_list_set(struct timer_list *list, struct timer *timer, uint64_t now_ms);
/* It need not be set. */
void timer_list_clear(struct timer *timer);
/* Calls expire() for each that is due, cleared; it may set and clear any. */
void timer_list_run(struct timer_list *list, uint64_t now_ms);

#endif
