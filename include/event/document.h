/*
 * document: a record as the JSON object that patterns and mappings look at.
 *
 *     {"topic": "orders", "partition": 3, "offset": 17, "timestamp": 1767225600000,
 *      "key": "42", "headers": {"name": "value"}, "value": …}
 *
 * Only what is needed is built: a value stays bytes where nobody asks for its fields.
 */
#ifndef SLUICE_EVENT_DOCUMENT_H
#define SLUICE_EVENT_DOCUMENT_H

#include <jansson.h>

#include "base/error.h"
#include "event/record.h"

/* What a pattern or a mapping looks at; or-ed. */
enum document_part {
	DOCUMENT_TOPIC = 1,
	DOCUMENT_PARTITION = 2,
	DOCUMENT_OFFSET = 4,
	DOCUMENT_TIMESTAMP = 8,
	DOCUMENT_KEY = 16,         /* as a string */
	DOCUMENT_KEY_JSON = 32,    /* the key parsed as JSON; overrides DOCUMENT_KEY */
	DOCUMENT_HEADERS = 64,     /* strings; the last of equal names wins */
	DOCUMENT_VALUE = 128,      /* parsed as JSON */
	DOCUMENT_VALUE_TEXT = 256, /* as a string; DOCUMENT_VALUE overrides it */
};

/*
 * Builds the parts asked for. A null key or tombstone value is JSON null. Bytes that are not UTF-8
 * become U+FFFD in strings. JSON is parsed with JSON_DECODE_ANY and JSON_ALLOW_NUL,
 * JSON_REJECT_DUPLICATES off, at most 64 levels deep; an integer that int64 has no room for becomes
 * a real.
 *
 * Returns a reference that the caller json_decref()s. Thread: any.
 *
 * Errors: ERROR_INVALID where the value (or key) was to be parsed and is not JSON, and where a
 * value is asked for that is left out.
 */
MUST_CHECK int document_build(const struct record *record, unsigned parts, json_t **document);

/*
 * The same of a record that cannot be decoded: what cannot be is pattern_unknown(). Returns a
 * reference. Thread: any.
 */
json_t *document_build_decodable(const struct record *record, unsigned parts);

/* A JSON string of the text, with U+FFFD for bytes that are not UTF-8. A new reference. Thread:
 * any. */
json_t *document_string(struct slice text);

/* The parts that a pattern over topic, partition, key, headers and value looks at. Thread: any. */
struct pattern;
unsigned document_parts_of(const struct pattern *pattern);

/* RFC 6901 lookup; NULL where there is nothing. Borrowed. */
const json_t *document_at(const json_t *document, const char *pointer);

/*
 * One JSON value as documents hold it: integers beyond int64 become reals. A new reference; NULL
 * where the text is no JSON, or nested too deeply. Thread: any.
 */
json_t *document_parse(struct slice text);

#endif
