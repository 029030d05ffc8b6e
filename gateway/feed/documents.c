#include "feed/documents_priv.h"

#include <stdlib.h>

#include "base/mem.h"
#include "event/document.h"
#include "feed/checks.h"
#include "feed/kept_record_priv.h"

struct slot {
	uint64_t feed, sequence;
	uint32_t bytes;   /* of the record */
	unsigned parts;   /* 0: nothing is in the slot */
	json_t *document; /* NULL: it cannot be decoded so */
};

struct documents {
	size_t bytes; /* of the records of all slots */
	struct buffer headers;
	struct slot slots[DOCUMENTS_SLOTS];
};

struct documents *documents_new(void)
{
	return MEM_NEW(struct documents);
}

void documents_clear(struct documents *documents)
{
	if (!documents->bytes)
		return;
	for (size_t i = 0; i < DOCUMENTS_SLOTS; i++) {
		json_decref(documents->slots[i].document);
		documents->slots[i] = (struct slot){0};
	}
	documents->bytes = 0;
}

void documents_free(struct documents *documents)
{
	documents_clear(documents);
	buffer_free(&documents->headers);
	free(documents);
}

/* What was decoded of this event stays: its checks may look at it in several ways, by turns. */
static void forget_others(struct documents *documents, const struct documents_event *event)
{
	for (size_t i = 0; i < DOCUMENTS_SLOTS; i++) {
		struct slot *slot = &documents->slots[i];

		if (!slot->parts ||
		    (slot->feed == event->feed && slot->sequence == event->sequence))
			continue;
		documents->bytes -= slot->bytes;
		json_decref(slot->document);
		*slot = (struct slot){0};
	}
}

static void fill(struct documents *documents, struct slot *slot,
		 const struct documents_event *event, unsigned parts)
{
	const struct window_entry *entry = event->entry;
	struct record record = {
	    .topic = slice_of(event->topics[entry->topic]),
	    .partition = (int32_t)entry->partition,
	    .offset = entry->offset,
	};

	if (documents->bytes + entry->record_len > DOCUMENTS_MAX_BYTES)
		forget_others(documents, event);
	documents->bytes = documents->bytes - slot->bytes + entry->record_len;
	json_decref(slot->document);
	*slot = (struct slot){event->feed, event->sequence, entry->record_len, parts, NULL};
	kept_record_read(window_record(event->segment, entry), &documents->headers, &record);
	if (document_build(&record, parts, &slot->document))
		slot->document = NULL;
}

struct search {
	struct documents *documents;
	const struct documents_event *event;
};

static const json_t *find(void *context, unsigned parts)
{
	const struct search *search = context;
	const struct documents_event *event = search->event;
	/* Neighbours in a window lie side by side, whatever their parts. */
	struct slot *slot =
	    &search->documents
		 ->slots[(event->sequence + event->feed * 67 + parts * 31) % DOCUMENTS_SLOTS];

	if (slot->feed != event->feed || slot->sequence != event->sequence || slot->parts != parts)
		fill(search->documents, slot, event, parts);
	return slot->document;
}

bool documents_match(struct documents *documents, const struct documents_event *event,
		     const struct checks *checks)
{
	struct search search = {documents, event};

	return checks_match_documents(checks, find, &search);
}
