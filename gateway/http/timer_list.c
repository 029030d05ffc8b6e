#include "http/timer_list_priv.h"

#include <h2o/memory.h>

void timer_list_init(struct timer_list *list, uint32_t duration_ms,
		     void (*expire)(struct timer *timer))
{
	h2o_linklist_init_anchor(&list->timers);
	list->duration_ms = duration_ms;
	list->expire = expire;
}

void timer_list_set(struct timer_list *list, struct timer *timer, uint64_t now_ms)
{
	timer_list_clear(timer);
	timer->deadline_ms = now_ms + list->duration_ms;
	h2o_linklist_insert(&list->timers, &timer->link);
}

void timer_list_clear(struct timer *timer)
{
	if (h2o_linklist_is_linked(&timer->link))
		h2o_linklist_unlink(&timer->link);
}

void timer_list_run(struct timer_list *list, uint64_t now_ms)
{
	while (!h2o_linklist_is_empty(&list->timers)) {
		struct timer *timer = H2O_STRUCT_FROM_MEMBER(struct timer, link, list->timers.next);

		if (timer->deadline_ms > now_ms)
			return;
		h2o_linklist_unlink(&timer->link);
		list->expire(timer);
	}
}
