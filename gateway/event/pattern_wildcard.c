#include "event/pattern_wildcard_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { REASON_BYTES = 256 };

static int refuse(char *reason, const char *what, size_t at)
{
	snprintf(reason, REASON_BYTES, "a wildcard %s (at byte %zu)", what, at);
	return ERROR_INVALID;
}

/* The bytes are in place from the start, so that the pieces can point at them. */
static int read_pieces(struct slice text, struct pattern_wildcard *wildcard, char *reason)
{
	struct slice *piece = &wildcard->pieces[0];
	char *end = wildcard->bytes;

	*piece = (struct slice){end, 0};
	wildcard->piece_count = 1;
	for (size_t at = 0; at < text.len; at++) {
		bool last = at + 1 == text.len;

		if (text.base[at] == '*') {
			if (!last && text.base[at + 1] == '*')
				return refuse(reason, "has two * side by side: one is enough", at);
			if (wildcard->piece_count == PATTERN_WILDCARD_MAX_PIECES)
				return refuse(reason, "has more than 63 *", at);
			piece = &wildcard->pieces[wildcard->piece_count++];
			*piece = (struct slice){end, 0};
			continue;
		}
		if (text.base[at] == '\\') {
			if (last || (text.base[at + 1] != '*' && text.base[at + 1] != '\\'))
				return refuse(reason,
					      "has a \\ that stands before neither * nor \\", at);
			at++;
		}
		*end++ = text.base[at];
		piece->len++;
	}
	return 0;
}

int pattern_wildcard_compile(struct slice text, struct pattern_wildcard *wildcard, char *reason)
{
	struct pattern_wildcard read = {0};
	int rc;

	read.bytes = mem_alloc(text.len + 1);
	read.pieces = mem_alloc(PATTERN_WILDCARD_MAX_PIECES * sizeof(read.pieces[0]));
	rc = read_pieces(text, &read, reason);
	if (rc) {
		pattern_wildcard_fini(&read);
		return rc;
	}
	read.pieces = mem_realloc(read.pieces, read.piece_count * sizeof(read.pieces[0]));
	*wildcard = read;
	return 0;
}

static bool starts_with(struct slice text, struct slice piece)
{
	return text.len >= piece.len && !memcmp(text.base, piece.base, piece.len);
}

bool pattern_wildcard_matches(const struct pattern_wildcard *wildcard, struct slice text)
{
	const struct slice *first = &wildcard->pieces[0];
	const struct slice *last = &wildcard->pieces[wildcard->piece_count - 1];

	if (first == last)
		return slice_equal(text, *first);
	if (text.len < first->len + last->len || !starts_with(text, *first))
		return false;
	text = (struct slice){text.base + first->len, text.len - first->len};
	for (const struct slice *piece = first + 1; piece < last; piece++) {
		const char *found = memmem(text.base, text.len, piece->base, piece->len);
		size_t used;

		if (!found)
			return false;
		used = (size_t)(found - text.base) + piece->len;
		text = (struct slice){text.base + used, text.len - used};
	}
	return text.len >= last->len &&
	       !memcmp(text.base + text.len - last->len, last->base, last->len);
}

void pattern_wildcard_fini(struct pattern_wildcard *wildcard)
{
	free(wildcard->bytes);
	free(wildcard->pieces);
}
