/*
 * An id of several streams from a client: whatever it holds, it is refused with a reason or stands
 * for exactly one id of each stream, whose text it is.
 */
#include <assert.h>

#include "event/combined_id.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct slice addresses[] = {{"/a", 2}, {"/b", 2}, {"/c", 2}};
enum { STREAMS = sizeof(addresses) / sizeof(addresses[0]) };

static void check_id(struct slice id)
{
	assert(slice_find(id, 0, id.len, '\0') == id.len);
	assert(slice_find(id, 0, id.len, '\r') == id.len);
	assert(slice_find(id, 0, id.len, '\n') == id.len);
}

/* The ids give the same text when they are set one by one. */
static void check_accepted(struct slice text, const struct combined_id *id)
{
	struct combined_id again;
	struct buffer out = {0}, part = {0};

	combined_id_init(&again, addresses, STREAMS);
	for (size_t i = 0; i < STREAMS; i++) {
		buffer_clear(&part);
		combined_id_get(id, i, &part);
		check_id(buffer_slice(&part));
		if (part.len)
			combined_id_set(&again, i, buffer_slice(&part));
	}
	combined_id_append(&again, &out);
	assert(slice_equal(buffer_slice(&out), text));
	combined_id_fini(&again);
	buffer_free(&out);
	buffer_free(&part);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
	struct slice text = {(const char *)bytes, len};
	struct combined_id id;
	const char *reason = NULL;
	int rc;

	combined_id_init(&id, addresses, STREAMS);
	rc = combined_id_decode(&id, text, &reason);
	if (rc)
		assert((rc == ERROR_INVALID || rc == ERROR_FOREIGN) && reason);
	else
		check_accepted(text, &id);
	combined_id_fini(&id);
	return 0;
}
