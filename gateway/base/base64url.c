#include "base/base64url.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64url_encode(const uint8_t *bytes, size_t len, char *to)
{
	uint32_t bits = 0;
	unsigned count = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | bytes[i];
		for (count += 8; count >= 6; count -= 6)
			*to++ = alphabet[bits >> (count - 6) & 63];
	}
	if (count)
		*to = alphabet[bits << (6 - count) & 63];
}

/* -1: not a character of the alphabet. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '-')
		return 62;
	return c == '_' ? 63 : -1;
}

int base64url_decode(struct slice text, uint8_t *to)
{
	uint32_t bits = 0;
	unsigned count = 0;
	int value;

	if (text.len % 4 == 1)
		return ERROR_INVALID;
	for (size_t i = 0; i < text.len; i++) {
		value = value_of(text.base[i]);
		if (value < 0)
			return ERROR_INVALID;
		bits = bits << 6 | (uint32_t)value;
		count += 6;
		if (count >= 8) {
			count -= 8;
			*to++ = (uint8_t)(bits >> count);
		}
	}
	return bits & ((1U << count) - 1) ? ERROR_INVALID : 0;
}
