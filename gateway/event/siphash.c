#include "event/siphash_priv.h"

#include <endian.h>

static uint64_t rotate_left(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int rounds)
{
	while (rounds--) {
		v[0] += v[1];
		v[2] += v[3];
		v[1] = rotate_left(v[1], 13) ^ v[0];
		v[3] = rotate_left(v[3], 16) ^ v[2];
		v[0] = rotate_left(v[0], 32);
		v[2] += v[1];
		v[0] += v[3];
		v[1] = rotate_left(v[1], 17) ^ v[2];
		v[3] = rotate_left(v[3], 21) ^ v[0];
		v[2] = rotate_left(v[2], 32);
	}
}

static void compress(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_rounds(v, 2);
	v[0] ^= word;
}

/* Up to 8 bytes, little-endian. */
static uint64_t word_at(const char *bytes, size_t len)
{
	uint64_t word = 0;

	memcpy(&word, bytes, len);
	return le64toh(word);
}

uint64_t siphash_2_4(const uint64_t key[2], struct slice bytes)
{
	uint64_t v[4] = {
	    key[0] ^ 0x736f6d6570736575u, /* "somepseudorandomlygeneratedbytes" */
	    key[1] ^ 0x646f72616e646f6du,
	    key[0] ^ 0x6c7967656e657261u,
	    key[1] ^ 0x7465646279746573u,
	};
	uint64_t last = (uint64_t)bytes.len << 56;
	size_t whole = bytes.len - bytes.len % 8;

	for (size_t i = 0; i < whole; i += 8)
		compress(v, word_at(bytes.base + i, 8));
	if (bytes.len > whole)
		last |= word_at(bytes.base + whole, bytes.len - whole);
	compress(v, last);
	v[2] ^= 0xff;
	sip_rounds(v, 4);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}
