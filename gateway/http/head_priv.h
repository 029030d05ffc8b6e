/*
 * head: is this the head of an HTTP/1 request that can be served? Pure.
 *
 * It only decides; what a head says is libh2o's to parse. Whatever is wrong with one is found here,
 * so that the answer is a problem document with a reason, and nothing malformed gets any further.
 */
#ifndef SLUICE_HTTP_HEAD_PRIV_H
#define SLUICE_HTTP_HEAD_PRIV_H

#include <stdint.h>

#include "base/slice.h"

enum head_verdict { HEAD_INCOMPLETE, HEAD_COMPLETE, HEAD_REFUSED };

struct head_refusal {
	int status;
	const char *detail;
};

/*
 * `*scanned` is 0 at first and kept by the caller while `bytes` grow. Refusals: 400 malformed (RFC
 * 9112, 3 to 6), 413 a content-length of more than `max_body_bytes`, 431 more than `max_head_bytes`
 * or more fields than libh2o takes.
 */
enum head_verdict head_check(struct slice bytes, uint32_t *scanned, uint32_t max_head_bytes,
			     uint64_t max_body_bytes, struct head_refusal *refusal);

#endif
