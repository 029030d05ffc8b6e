#include "event/event_id.h"

#include <assert.h>
#include <stdlib.h>

#include "base/base64url.h"
#include "base/mem.h"

enum {
	VERSION = 1,
	KNOWN_FLAGS = EVENT_ID_FINAL,
	HEAD_BYTES = 2 + 8,
	VARINT_MAX_BYTES = 9, /* 63 bits, 7 a byte */
	STACK_BYTES = 1024,
	RAW_MAX_BYTES = EVENT_ID_MAX_BYTES / 4 * 3,
};

static uint8_t *put_varint(uint8_t *to, uint64_t number)
{
	for (; number >= 0x80; number >>= 7)
		*to++ = (uint8_t)(number | 0x80);
	*to++ = (uint8_t)number;
	return to;
}

static uint8_t *put_head(uint8_t *to, uint64_t feed_hash, unsigned flags)
{
	*to++ = VERSION;
	*to++ = (uint8_t)flags;
	for (int shift = 56; shift >= 0; shift -= 8)
		*to++ = (uint8_t)(feed_hash >> shift);
	return to;
}

static uint8_t *put_position(uint8_t *to, const struct position *position)
{
	to = put_varint(to, position->topic_count);
	for (uint32_t t = 0; t < position->topic_count; t++) {
		const struct position_topic *topic = &position->topics[t];

		to = put_varint(to, topic->partition_count);
		for (uint32_t p = 0; p < topic->partition_count; p++)
			to = put_varint(to, (uint64_t)topic->next[p]);
	}
	return to;
}

static size_t most_raw_bytes(const struct position *position)
{
	size_t numbers = 1 + position->topic_count;

	for (uint32_t t = 0; t < position->topic_count; t++)
		numbers += position->topics[t].partition_count;
	return HEAD_BYTES + numbers * VARINT_MAX_BYTES;
}

void event_id_encode(uint64_t feed_hash, unsigned flags, const struct position *position,
		     struct buffer *out)
{
	uint8_t small[STACK_BYTES];
	size_t most = most_raw_bytes(position), raw_len, len;
	uint8_t *raw = most <= sizeof(small) ? small : mem_alloc(most);

	assert(!(flags & ~(unsigned)KNOWN_FLAGS));
	raw_len = (size_t)(put_position(put_head(raw, feed_hash, flags), position) - raw);
	len = base64url_encoded_len(raw_len);
	base64url_encode(raw, raw_len, buffer_reserve(out, len));
	out->len += len;
	if (raw != small)
		free(raw);
}

struct reader {
	const uint8_t *at, *end;
};

static size_t left(const struct reader *in)
{
	return (size_t)(in->end - in->at);
}

/* False for a number that is cut off, does not fit in 63 bits, or has a shorter form. */
static bool read_varint(struct reader *in, uint64_t *number)
{
	uint64_t bits = 0;

	for (unsigned i = 0; i < VARINT_MAX_BYTES && in->at < in->end; i++) {
		uint8_t byte = *in->at++;

		bits |= (uint64_t)(byte & 0x7f) << (7 * i);
		if (byte & 0x80)
			continue;
		if (byte == 0 && i > 0)
			return false;
		*number = bits;
		return true;
	}
	return false;
}

static const char *read_topic(struct reader *in, uint32_t *partitions_left,
			      struct position_topic *topic)
{
	uint64_t count, next;

	if (!read_varint(in, &count))
		return "a partition count is malformed";
	if (count > *partitions_left)
		return "it names more partitions than there can be";
	/* An offset takes a byte at least: what is allocated is bounded by what was sent. */
	if (count > left(in))
		return "it is cut off";
	*partitions_left -= (uint32_t)count;
	topic->next = mem_alloc(count * sizeof(topic->next[0]));
	for (; topic->partition_count < count; topic->partition_count++) {
		if (!read_varint(in, &next))
			return "an offset is malformed";
		topic->next[topic->partition_count] = (int64_t)next;
	}
	return NULL;
}

/* On failure `position` holds what was read so far; the reason is returned. */
static const char *read_topics(struct reader *in, struct position *position)
{
	uint32_t partitions_left = POSITION_MAX_PARTITIONS;
	const char *reason;

	for (uint32_t t = 0; t < position->topic_count; t++) {
		reason = read_topic(in, &partitions_left, &position->topics[t]);
		if (reason)
			return reason;
	}
	return in->at == in->end ? NULL : "bytes follow its end";
}

static const char *read_position(struct reader *in, struct position *position)
{
	struct position read;
	uint64_t topic_count;
	const char *reason;

	if (!read_varint(in, &topic_count))
		return "the topic count is malformed";
	if (topic_count > POSITION_MAX_TOPICS)
		return "it names more topics than there can be";
	position_init(&read, (uint32_t)topic_count);
	reason = read_topics(in, &read);
	if (reason)
		position_fini(&read);
	else
		*position = read;
	return reason;
}

static uint64_t read_hash(struct reader *in)
{
	uint64_t hash = 0;

	for (int i = 0; i < 8; i++)
		hash = hash << 8 | *in->at++;
	return hash;
}

static int read_id(struct reader *in, uint64_t feed_hash, unsigned *flags,
		   struct position *position, const char **reason)
{
	unsigned read_flags;

	if (left(in) < HEAD_BYTES) {
		*reason = "it is too short";
		return ERROR_INVALID;
	}
	if (*in->at++ != VERSION) {
		*reason = "its version is unknown";
		return ERROR_INVALID;
	}
	read_flags = *in->at++;
	if (read_flags & ~(unsigned)KNOWN_FLAGS) {
		*reason = "it has unknown flags";
		return ERROR_INVALID;
	}
	if (read_hash(in) != feed_hash) {
		*reason = "it belongs to another stream";
		return ERROR_FOREIGN;
	}
	*reason = read_position(in, position);
	if (*reason)
		return ERROR_INVALID;
	*flags = read_flags;
	return 0;
}

int event_id_decode(struct slice text, uint64_t feed_hash, unsigned *flags,
		    struct position *position, const char **reason)
{
	uint8_t raw[RAW_MAX_BYTES];
	struct reader in;

	if (text.len > EVENT_ID_MAX_BYTES) {
		*reason = "it is too long";
		return ERROR_INVALID;
	}
	if (base64url_decode(text, raw)) {
		*reason = "it is not base64url without padding";
		return ERROR_INVALID;
	}
	in = (struct reader){raw, raw + base64url_decoded_len(text.len)};
	return read_id(&in, feed_hash, flags, position, reason);
}
