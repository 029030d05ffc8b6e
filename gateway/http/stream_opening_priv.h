/*
 * stream_opening: one stream of a request while that is looked at, step by step (stream_priv.h);
 * and its terms, which are what the steps make, and all that outlives the request.
 *
 * Every step answers the request itself where it fails, and returns false then.
 */
#ifndef SLUICE_HTTP_STREAM_OPENING_PRIV_H
#define SLUICE_HTTP_STREAM_OPENING_PRIV_H

#include "http/stream_cursor_priv.h"
#include "http/stream_filter_priv.h"
#include "http/stream_priv.h"

/* What the stream's subscriber is made with. */
struct stream_terms {
	struct feed *feed; /* a reference */
	struct route_keys keys;
	struct position position; /* of Last-Event-ID or the cursor */
	bool has_position;
	bool has_stale_cursor;
	struct buffer custom_id; /* a Last-Event-ID of the stream's own; empty: none */
	int64_t since_ms;        /* -1: not asked for */
	bool has_last;           /* how many of the last events come first */
	uint32_t last;
	bool is_bounded;              /* it does not follow */
	struct checks *end_when;      /* a reference; NULL: the feed's own counts */
	uint32_t interval_ms;         /* 0: every event */
	struct buffer welcome;        /* the welcome event; empty: it has none */
	struct checks *bound;         /* a reference; NULL: route keys alone decide */
	struct stream_filter *filter; /* NULL: nothing narrows the stream for its subject */
};

struct stream_opening {
	struct http_request *request;
	const struct route *route;
	struct stream_caller *caller;
	struct app_loop *loop;
	struct slice query;     /* of the stream's address, raw; base NULL: there is none */
	struct slice given_id;  /* Last-Event-ID, or the part of it; base NULL: there is none */
	bool is_member;         /* of several: a final id is no answer */
	struct buffer *decoded; /* values that were percent-decoded */
	size_t decoded_count;
	const char *undecodable; /* the query parameter that is not */
	json_t *variables;
	struct buffer last_event_id;
	bool is_final; /* a member that has ended for good */
	struct stream_cursor_key cursor;
	struct stream_terms terms;
};

/* All but the cursor, into an opening whose first fields are set, down to the query. */
bool stream_opening_read(struct stream_opening *opening);
void stream_opening_fini(struct stream_opening *opening);

/* Answers the request with a problem; false, for the step to return. */
bool stream_opening_fail(struct stream_opening *opening, int status, const char *detail);

/* stream_extent.c: how much of it: what comes first, how often, and what ends it. */
bool stream_extent_read(struct stream_opening *opening);

/* stream_resume.c: where it begins. */

#define STREAM_RESUME_ID_WANTED "lastEventId is not percent-encoded UTF-8."

/* The id of that name from the query, for clients that can't set fields; nothing is appended where
 * it has none. ERROR_INVALID: it is not percent-encoded UTF-8. */
MUST_CHECK int stream_resume_find_id(struct slice query, struct buffer *id);
/* To one who brings a final id: 204. */
void stream_resume_reply_final(struct http_request *request);
/* Last-Event-ID and ?since=. The feed is open. */
bool stream_resume_read(struct stream_opening *opening);
/* From where the cursor stands; empty: nowhere yet. */
bool stream_resume_from_cursor(struct stream_opening *opening, struct slice event_id);

/* stream_begin.c: from the opening to the subscriber. */

void stream_terms_fini(struct stream_terms *terms, const struct app_loop *loop);

/* The terms, until the head is sent. */
struct stream_beginning;

/* Takes over the opening's terms, and the caller's holder. */
struct stream_beginning *stream_beginning_new(struct stream_opening *opening);
/* A http_stream_started; `context` is the beginning, which is freed. */
void stream_begin(void *context, struct http_stream *stream);

#endif
