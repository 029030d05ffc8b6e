/*
 * mapping_priv: what mapping.c and mapping_compile.c share.
 */
#ifndef SLUICE_EVENT_MAPPING_PRIV_H
#define SLUICE_EVENT_MAPPING_PRIV_H

#include "event/envelope.h"
#include "event/mapping.h"

enum { MAPPING_RETRY_MAX_MS = INT32_MAX };

/* Where a field comes from; neither: the field is not mapped. */
struct mapping_origin {
	char *pointer;
	char *constant;
};

struct mapping {
	struct mapping_origin event, data, id, retry;
	int64_t retry_ms; /* the constant; < 0: none */
	enum envelope envelope;
	unsigned parts;
};

#endif
