#include "base/utf8.h"

#include <stdint.h>

#define HIGH_BITS UINT64_C(0x8080808080808080)

static size_t ascii_span(const unsigned char *bytes, size_t len)
{
	size_t at = 0;
	uint64_t word;

	for (; len - at >= sizeof(word); at += sizeof(word)) {
		memcpy(&word, bytes + at, sizeof(word));
		if (word & HIGH_BITS)
			break;
	}
	while (at < len && bytes[at] < 0x80)
		at++;
	return at;
}

/* What may follow a lead byte: how many bytes, and the bounds of the first of them. */
struct tail {
	unsigned count;
	unsigned char low, high;
};

static struct tail tail_of(unsigned char lead)
{
	if (lead < 0xc2 || lead > 0xf4)
		return (struct tail){0, 0, 0};
	if (lead < 0xe0)
		return (struct tail){1, 0x80, 0xbf};
	if (lead < 0xf0)
		return (struct tail){2, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf};
	return (struct tail){3, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf};
}

/* The length of the sequence that begins with a byte >= 0x80; 0 where it is ill-formed. */
static size_t sequence_span(const unsigned char *bytes, size_t len, size_t *ill_formed)
{
	struct tail tail = tail_of(bytes[0]);
	size_t at = 1;

	while (at <= tail.count && at < len && bytes[at] >= tail.low && bytes[at] <= tail.high) {
		tail.low = 0x80;
		tail.high = 0xbf;
		at++;
	}
	if (tail.count && at == tail.count + 1u)
		return at;
	*ill_formed = at;
	return 0;
}

size_t utf8_span(struct slice text, size_t *ill_formed)
{
	const unsigned char *bytes = (const unsigned char *)text.base;
	size_t at = 0, span;

	*ill_formed = 0;
	while (at < text.len) {
		at += ascii_span(bytes + at, text.len - at);
		if (at == text.len)
			break;
		span = sequence_span(bytes + at, text.len - at, ill_formed);
		if (!span)
			break;
		at += span;
	}
	return at;
}

bool utf8_is_valid(struct slice text)
{
	size_t ill_formed;

	return utf8_span(text, &ill_formed) == text.len;
}
