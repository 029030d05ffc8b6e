/*
 * The happy path: on_ready() tells the carrier; bundle_peek() gives what is left of `out`, or fills
 * it by pull() from the members that are ready, in turns; bundle_consume() makes room again.
 *
 * It fails when a member gives up (the connection is closed as with one subscriber), or ends.
 */
#include "http/bundle_priv.h"

#include <assert.h>
#include <stdlib.h>

#include "base/mem.h"
#include "http/bundle_frame_priv.h"

enum {
	/* What `out` is filled up to. A piece more may come on top, and the head of a frame. */
	OUT_BYTES = 16 * 1024,
	/* Of one member in its turn, rounded up to a whole frame. */
	TURN_BYTES = 4 * 1024,
};

struct bundle_member {
	struct http_stream stream; /* first; its carrier is the subscriber's */
	struct bundle *bundle;
	struct buffer address;
	uint64_t feed_hash;
	bool ready; /* its subscriber may have something to peek */
};

struct bundle {
	struct carrier *carrier; /* the connection's */
	struct combined_id id;
	struct buffer out;
	size_t out_at;             /* consumed so far */
	struct bundle_frame frame; /* the current member's, under way */
	size_t current;
	size_t turn_bytes; /* that are left of the current member's turn */
	size_t open;       /* members with a subscriber */
	bool told;         /* carrier->ready() was called and not all is peeked */
	bool aborted;
	bool ended;          /* a member has ended it */
	uint8_t reason;      /* enum close_reason, where ended */
	size_t member_count; /* at least 1 */
	struct bundle_member members[];
};

static void on_ready(struct carrier *carrier)
{
	struct bundle_member *member = (struct bundle_member *)carrier;
	struct bundle *bundle = member->bundle;

	member->ready = true;
	if (bundle->told || bundle->aborted)
		return;
	bundle->told = true;
	bundle->carrier->ops->ready(bundle->carrier);
}

static void on_abort(struct carrier *carrier)
{
	struct bundle *bundle = ((struct bundle_member *)carrier)->bundle;

	if (bundle->aborted)
		return;
	bundle->aborted = true;
	bundle->carrier->ops->abort(bundle->carrier);
}

static const struct carrier_ops ops = {on_ready, on_abort};

struct bundle *bundle_new(const struct slice *addresses, struct combined_id *id)
{
	struct bundle *bundle =
	    mem_zalloc(sizeof(*bundle) + id->count * sizeof(bundle->members[0]));

	bundle->id = *id;
	*id = (struct combined_id){.count = 0};
	bundle->member_count = bundle->id.count;
	for (size_t i = 0; i < bundle->member_count; i++) {
		struct bundle_member *member = &bundle->members[i];

		member->stream.carrier.ops = &ops;
		member->bundle = bundle;
		buffer_append_slice(&member->address, addresses[i]);
	}
	return bundle;
}

struct http_stream *bundle_member(struct bundle *bundle, size_t i, uint64_t feed_hash)
{
	bundle->members[i].feed_hash = feed_hash;
	return &bundle->members[i].stream;
}

void bundle_begin(struct bundle *bundle, struct carrier *carrier)
{
	bundle->carrier = carrier;
	bundle->told = true;
	bundle->current = bundle->member_count - 1;
	for (size_t i = 0; i < bundle->member_count; i++) {
		bundle->members[i].ready = bundle->members[i].stream.subscriber;
		bundle->open += bundle->members[i].ready;
	}
	assert(bundle->open);
}

void bundle_free(struct bundle *bundle, enum close_reason reason)
{
	if (bundle->ended)
		reason = bundle->reason;
	for (size_t i = 0; i < bundle->member_count; i++) {
		http_stream_drop(&bundle->members[i].stream, reason);
		buffer_free(&bundle->members[i].address);
	}
	combined_id_fini(&bundle->id);
	bundle_frame_fini(&bundle->frame);
	buffer_free(&bundle->out);
	free(bundle);
}

static bool has_final_id(const struct bundle *bundle, const struct bundle_member *member)
{
	struct buffer id = {0};
	struct position position;
	const char *reason;
	unsigned flags = 0;

	combined_id_get(&bundle->id, (size_t)(member - bundle->members), &id);
	if (!event_id_decode(buffer_slice(&id), member->feed_hash, &flags, &position, &reason))
		position_fini(&position);
	buffer_free(&id);
	return flags & EVENT_ID_FINAL;
}

/* The token's holder stands with one of the members, and stays with those that are left. */
static void pass_holder_on(struct bundle *bundle, struct bundle_member *from)
{
	for (size_t i = 0; from->stream.holder && i < bundle->member_count; i++) {
		struct http_stream *stream = &bundle->members[i].stream;

		if (stream == &from->stream || !stream->subscriber)
			continue;
		stream->holder = from->stream.holder;
		from->stream.holder = NULL;
	}
}

static void end_member(struct bundle *bundle, struct bundle_member *member)
{
	enum close_reason reason = subscriber_close_reason(member->stream.subscriber);

	if (has_final_id(bundle, member)) {
		pass_holder_on(bundle, member);
		http_stream_drop(&member->stream, reason);
		bundle->open--;
	} else {
		bundle->ended = true;
		bundle->reason = (uint8_t)reason;
	}
}

/* As many whole frames as its turn allows, and a part of the next where there is no more of it, or
 * no more room. */
static size_t tell(struct bundle *bundle, const struct bundle_member *member, struct slice bytes)
{
	size_t taken = 0;

	while (taken < bytes.len && bundle->out.len < OUT_BYTES &&
	       (bundle->turn_bytes || !bundle_frame_is_whole(&bundle->frame))) {
		const struct slice rest = {bytes.base + taken, bytes.len - taken};
		size_t n = bundle_frame_take(&bundle->frame, rest, buffer_slice(&member->address),
					     (size_t)(member - bundle->members), &bundle->id,
					     &bundle->out);

		taken += n;
		bundle->turn_bytes -= n < bundle->turn_bytes ? n : bundle->turn_bytes;
	}
	return taken;
}

static void pull(struct bundle *bundle, struct bundle_member *member)
{
	struct subscriber *subscriber = member->stream.subscriber;
	struct slice bytes = subscriber_peek(subscriber, TURN_BYTES);

	if (bytes.len) {
		subscriber_consume(subscriber, tell(bundle, member, bytes));
		return;
	}
	member->ready = false;
	if (!bundle->aborted && subscriber_ended(subscriber))
		end_member(bundle, member);
}

/* Whose frame is under way, or whose turn it is; NULL: nobody has anything. */
static struct bundle_member *next_member(struct bundle *bundle)
{
	struct bundle_member *member = &bundle->members[bundle->current];

	if (!bundle_frame_is_whole(&bundle->frame))
		return member->ready ? member : NULL;
	if (member->ready && bundle->turn_bytes)
		return member;
	for (size_t i = 1; i <= bundle->member_count; i++) {
		size_t next = (bundle->current + i) % bundle->member_count;

		if (!bundle->members[next].ready)
			continue;
		bundle->current = next;
		bundle->turn_bytes = TURN_BYTES;
		return &bundle->members[next];
	}
	return NULL;
}

static void fill(struct bundle *bundle)
{
	struct bundle_member *member;

	while (bundle->out.len < OUT_BYTES && !bundle->ended && !bundle->aborted &&
	       (member = next_member(bundle)))
		pull(bundle, member);
}

struct slice bundle_peek(struct bundle *bundle, size_t max)
{
	struct slice bytes;

	if (bundle->out_at == bundle->out.len) {
		buffer_clear(&bundle->out);
		bundle->out_at = 0;
		fill(bundle);
	}
	if (bundle->aborted)
		return (struct slice){NULL, 0};
	bytes = (struct slice){bundle->out.base + bundle->out_at, bundle->out.len - bundle->out_at};
	if (!bytes.len) {
		bundle->told = false;
		/* An idle connection keeps no buffers. */
		buffer_free(&bundle->out);
		if (bundle_frame_is_whole(&bundle->frame))
			bundle_frame_fini(&bundle->frame);
		return (struct slice){NULL, 0};
	}
	if (bytes.len > max)
		bytes.len = max;
	return bytes;
}

/* While the connection takes something, no member is one that makes no progress. */
void bundle_consume(struct bundle *bundle, size_t n)
{
	assert(n <= bundle->out.len - bundle->out_at);
	bundle->out_at += n;
	for (size_t i = 0; i < bundle->member_count; i++)
		if (bundle->members[i].stream.subscriber)
			subscriber_note_progress(bundle->members[i].stream.subscriber);
}

bool bundle_ended(const struct bundle *bundle)
{
	return bundle->out_at == bundle->out.len && (bundle->ended || !bundle->open);
}
