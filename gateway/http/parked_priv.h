/*
 * parked: requests that can't be answered yet, because somebody else has to say something first: a
 * key that is being fetched, a row that is being read.
 *
 * Whoever parks a request is told by its ops when to look again. A request is parked for one thing
 * at a time, and not for long. Thread: the loop's.
 */
#ifndef SLUICE_HTTP_PARKED_PRIV_H
#define SLUICE_HTTP_PARKED_PRIV_H

#include "http/app_priv.h"

struct parked;

struct parked_ops {
	/* Look again: answer the request after parked_end(), or leave it where it is. With `last`
	 * its time is over, and it has to be answered. */
	void (*retry)(struct parked *parked, bool last);
	/* The client has gone: lets go of `context`; may be NULL. */
	void (*gone)(struct parked *parked);
};

struct parked {
	struct http_request *request;
	struct route route;
	const struct parked_ops *ops;
	void *context; /* the ops' own */
	struct app_loop *loop;
	uint64_t deadline_ms;
	struct parked *next, **link;
};

/* `route` is copied. One that is parked already stays as it is. False: too many are parked, and the
 * request is answered. */
bool parked_new(struct http_request *request, const struct route *route,
		const struct parked_ops *ops, void *context);
/* Takes the request out, where it is parked: it is answered next. */
void parked_end(struct http_request *request);

/* Calls retry() of all that have these ops. */
void parked_retry(struct app_loop *loop, const struct parked_ops *ops);
/* Every HTTP_TICK_MS: those that have waited too long. */
void parked_tick(struct app_loop *loop);

#endif
