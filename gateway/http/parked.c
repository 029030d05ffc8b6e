#include "http/parked_priv.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/problem_priv.h"

/* How long a request waits, and how many may wait on one loop. */
enum { PARK_MS = 5000, MAX_PARKED = 1000 };

void parked_end(struct http_request *request)
{
	struct parked *parked = request->handler_data;

	if (!parked)
		return;
	*parked->link = parked->next;
	if (parked->next)
		parked->next->link = parked->link;
	parked->loop->parked_count--;
	request->on_gone = NULL;
	request->handler_data = NULL;
	free(parked);
}

static void on_gone(struct http_request *request)
{
	struct parked *parked = request->handler_data;

	if (parked->ops->gone)
		parked->ops->gone(parked);
	parked_end(request);
}

bool parked_new(struct http_request *request, const struct route *route,
		const struct parked_ops *ops, void *context)
{
	const struct http_field retry = {SLICE_LIT("retry-after"), SLICE_LIT("1")};
	struct app_loop *loop = app_loop_of(request);
	struct parked *parked;

	if (request->handler_data)
		return true;
	if (loop->parked_count >= MAX_PARKED) {
		problem_reply(request, 503, "Too many requests wait; try again.", &retry, 1);
		return false;
	}
	parked = MEM_NEW(struct parked);
	parked->request = request;
	parked->route = *route;
	parked->ops = ops;
	parked->context = context;
	parked->loop = loop;
	parked->deadline_ms = clock_monotonic_ms() + PARK_MS;
	parked->next = loop->parked;
	parked->link = &loop->parked;
	if (parked->next)
		parked->next->link = &parked->next;
	loop->parked = parked;
	loop->parked_count++;
	request->handler_data = parked;
	request->on_gone = on_gone;
	return true;
}

void parked_retry(struct app_loop *loop, const struct parked_ops *ops)
{
	struct parked *next;

	for (struct parked *parked = loop->parked; parked; parked = next) {
		next = parked->next;
		if (parked->ops == ops)
			ops->retry(parked, false);
	}
}

void parked_tick(struct app_loop *loop)
{
	uint64_t now_ms = clock_monotonic_ms();
	struct parked *next;

	for (struct parked *parked = loop->parked; parked; parked = next) {
		next = parked->next;
		if (now_ms >= parked->deadline_ms)
			parked->ops->retry(parked, true);
	}
}
