#include "event/combined_id.h"

#include <assert.h>

#include "base/base64url.h"
#include "base/utf8.h"
#include "event/siphash_priv.h"

/* The same in every process, for ids go from one replica to another. */
static void write_identity(uint64_t hash, char *to)
{
	enum { HASH_BYTES = 6 };
	uint8_t bytes[HASH_BYTES];

	for (size_t i = 0; i < HASH_BYTES; i++)
		bytes[i] = (uint8_t)(hash >> (8 * i));
	*to = '~';
	base64url_encode(bytes, HASH_BYTES, to + 1);
}

void combined_id_init(struct combined_id *id, const struct slice *addresses, size_t count)
{
	static const uint64_t key[2] = {UINT64_C(0x736c756963652073), UINT64_C(0x747265616d732031)};
	struct buffer text = {0};

	assert(count <= COMBINED_ID_MAX_PARTS);
	*id = (struct combined_id){.count = count};
	for (size_t i = 0; i < count; i++) {
		buffer_append_u64(&text, addresses[i].len);
		buffer_append(&text, ":", 1);
		buffer_append_slice(&text, addresses[i]);
	}
	write_identity(siphash_2_4(key, buffer_slice(&text)), id->identity);
	buffer_free(&text);
}

void combined_id_fini(struct combined_id *id)
{
	for (size_t i = 0; i < id->count; i++)
		buffer_free(&id->parts[i]);
	*id = (struct combined_id){.count = 0};
}

static bool is_plain(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		char c = text.base[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '_'))
			return false;
	}
	return true;
}

static bool has(struct slice text, char c)
{
	return slice_find(text, 0, text.len, c) < text.len;
}

/* It can stand in an id line, and needs the mark. */
static bool is_own(struct slice id)
{
	return !is_plain(id) && utf8_is_valid(id) && !has(id, '\0') && !has(id, '\r') &&
	       !has(id, '\n');
}

/* What is after the mark, into `bytes`, which has room for COMBINED_ID_MAX_OWN_BYTES. */
static int decode_own(struct slice encoded, uint8_t *bytes, struct slice *own)
{
	size_t len = base64url_decoded_len(encoded.len);

	if (len > COMBINED_ID_MAX_OWN_BYTES || base64url_decode(encoded, bytes))
		return ERROR_INVALID;
	*own = (struct slice){(const char *)bytes, len};
	return is_own(*own) ? 0 : ERROR_INVALID;
}

static bool is_part(struct slice part)
{
	uint8_t bytes[COMBINED_ID_MAX_OWN_BYTES];
	struct slice own;

	if (part.len && part.base[0] == '~')
		return !decode_own((struct slice){part.base + 1, part.len - 1}, bytes, &own);
	return part.len <= COMBINED_ID_MAX_PLAIN_BYTES && is_plain(part);
}

/* The part that begins at `*at`, with its separator. */
static bool next_part(struct slice text, size_t *at, struct slice *part)
{
	size_t end;

	if (*at >= text.len || text.base[*at] != '.')
		return false;
	end = slice_find(text, *at + 1, text.len, '.');
	*part = (struct slice){text.base + *at + 1, end - *at - 1};
	*at = end;
	return true;
}

int combined_id_decode(struct combined_id *id, struct slice text, const char **reason)
{
	struct slice parts[COMBINED_ID_MAX_PARTS];
	size_t at = COMBINED_ID_IDENTITY_CHARS;

	if (text.len < COMBINED_ID_IDENTITY_CHARS || !combined_id_is_meant(text)) {
		*reason = "it is not an id of several streams";
		return ERROR_INVALID;
	}
	if (memcmp(text.base, id->identity, COMBINED_ID_IDENTITY_CHARS) != 0) {
		*reason = "it belongs to other streams, or to these in another order";
		return ERROR_FOREIGN;
	}
	for (size_t i = 0; i < id->count; i++) {
		if (!next_part(text, &at, &parts[i]) || !is_part(parts[i])) {
			*reason = "one of its parts is missing or malformed";
			return ERROR_INVALID;
		}
	}
	if (at != text.len) {
		*reason = "it has more parts than there are streams";
		return ERROR_INVALID;
	}
	for (size_t i = 0; i < id->count; i++) {
		buffer_clear(&id->parts[i]);
		buffer_append_slice(&id->parts[i], parts[i]);
	}
	return 0;
}

void combined_id_append(const struct combined_id *id, struct buffer *out)
{
	buffer_append(out, id->identity, COMBINED_ID_IDENTITY_CHARS);
	for (size_t i = 0; i < id->count; i++) {
		buffer_append(out, ".", 1);
		buffer_append_slice(out, buffer_slice(&id->parts[i]));
	}
}

void combined_id_set(struct combined_id *id, size_t stream, struct slice event_id)
{
	struct buffer *part = &id->parts[stream];
	size_t len = base64url_encoded_len(event_id.len);

	assert(event_id.len && stream < id->count);
	if (is_plain(event_id)) {
		if (event_id.len > COMBINED_ID_MAX_PLAIN_BYTES)
			return;
		buffer_clear(part);
		buffer_append_slice(part, event_id);
	} else if (event_id.len <= COMBINED_ID_MAX_OWN_BYTES) {
		buffer_clear(part);
		buffer_append(part, "~", 1);
		base64url_encode((const uint8_t *)event_id.base, event_id.len,
				 buffer_reserve(part, len));
		part->len += len;
	}
}

void combined_id_get(const struct combined_id *id, size_t stream, struct buffer *out)
{
	const struct slice part = buffer_slice(&id->parts[stream]);
	uint8_t bytes[COMBINED_ID_MAX_OWN_BYTES];
	struct slice own = part;

	if (part.len && part.base[0] == '~' &&
	    decode_own((struct slice){part.base + 1, part.len - 1}, bytes, &own))
		own.len = 0;
	buffer_append_slice(out, own);
}
