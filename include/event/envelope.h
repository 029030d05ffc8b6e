/*
 * envelope: a record as one JSON object on one line, its data with what Kafka says of it.
 *
 *     record       {"topic": "orders", "partition": 3, "offset": 17, "timestamp": 1767225600000,
 *                   "key": "42", "headers": {"trace": "a1"}, "value": …}
 *     cloudevents  {"specversion": "1.0", "id": "orders/3/17", "source": "/topics/orders",
 *                   "type": "created", …, "data": …}
 *
 * A value is embedded as JSON where it is JSON (as document_parse() has it), byte for byte but for
 * whitespace where it has line breaks; as a string where it is UTF-8; else its bytes in base64
 * (RFC 4648, section 4), as "value_base64" or "data_base64". A tombstone is null. Pure. Thread:
 * any.
 */
#ifndef SLUICE_EVENT_ENVELOPE_H
#define SLUICE_EVENT_ENVELOPE_H

#include <jansson.h>

#include "base/buffer.h"
#include "event/record.h"

enum envelope { ENVELOPE_NONE, ENVELOPE_RECORD, ENVELOPE_CLOUDEVENTS };

/* What is put in, all of it borrowed. */
struct envelope_content {
	const struct record *record;
	const json_t *document;  /* of the record, as far as there is one; may be NULL */
	bool selected;           /* `selection` is the value, not the record's own */
	const json_t *selection; /* NULL: nothing was found, a null */
	struct slice type;       /* the event's; empty: it has none */
};

/*
 * Appends {topic, partition, offset, timestamp, key, headers, value}. The timestamp is null where
 * there is none. A key that is not UTF-8 is "key_base64"; such a header is {"base64": …}, one
 * without a value null, and a name with several a list of them in their order.
 */
void envelope_append_record(const struct envelope_content *content, struct buffer *out);

/*
 * Appends a CloudEvent in the JSON format ("JSON Event Format for CloudEvents", 1.0.2). The record
 * is read as the "Kafka Protocol Binding for CloudEvents" 1.0.2 has it: one whose content-type is
 * application/cloudevents+json passes as it is (unless something was selected of it); else headers
 * `ce_…` are attributes and content-type is datacontenttype. Attributes whose names are not
 * lower-case letters and digits, or whose values are empty, not UTF-8 or hold control characters
 * are left out. What is required and lacking is made: id "topic/partition/offset", source
 * "/topics/TOPIC", type content->type or "kafka.record"; likewise time of the timestamp,
 * partitionkey of the key, datacontenttype of what the data is.
 *
 * Data of a content type that is not JSON is a string, or data_base64; data that should be JSON by
 * its content type and is not is data_base64, too.
 */
void envelope_append_cloudevent(const struct envelope_content *content, struct buffer *out);

/* Appends {"key": …}, the key as in a record's envelope. */
void envelope_append_key(const struct record *record, struct buffer *out);

#endif
