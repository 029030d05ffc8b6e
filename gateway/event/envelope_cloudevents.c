#include "base/clock.h"
#include "base/utf8.h"
#include "event/envelope_priv.h"

#define DEFAULT_TYPE SLICE_LIT("kafka.record")

/* The last one, as in documents; empty where there is none. */
static struct slice find_header(const struct record *record, struct slice name)
{
	struct slice found = {0};

	for (size_t i = 0; i < record->header_count; i++)
		if (slice_equal(record->headers[i].name, name))
			found = record->headers[i].value;
	return found;
}

/* A media type without its parameters (RFC 9110, 8.3.1). */
static struct slice essence_of(struct slice type)
{
	size_t len = slice_find(type, 0, type.len, ';');

	while (len && (type.base[len - 1] == ' ' || type.base[len - 1] == '\t'))
		len--;
	return (struct slice){type.base, len};
}

static bool has_suffix(struct slice text, struct slice suffix)
{
	return text.len >= suffix.len &&
	       slice_equal_ascii_case((struct slice){text.base + text.len - suffix.len, suffix.len},
				      suffix);
}

/* "The JSON Event Format", 3.1: a subtype "json", or one that ends with "+json". */
static bool declares_json(struct slice type)
{
	struct slice essence = essence_of(type);

	return has_suffix(essence, SLICE_LIT("/json")) || has_suffix(essence, SLICE_LIT("+json"));
}

static bool is_object(struct slice json)
{
	size_t at = 0;

	while (at < json.len && memchr(" \t\r\n", json.base[at], 4))
		at++;
	return at < json.len && json.base[at] == '{';
}

static bool is_structured(const struct envelope_content *content)
{
	struct slice type = find_header(content->record, SLICE_LIT("content-type"));

	return !content->selected &&
	       slice_equal_ascii_case(essence_of(type),
				      SLICE_LIT("application/cloudevents+json")) &&
	       is_object(content->record->value) &&
	       envelope_form_of_value(content) == ENVELOPE_JSON;
}

/* What CloudEvents takes for a string ("CloudEvents", 1.0.2, "Type System"): no control
 * characters, U+0000 to U+001F and U+007F to U+009F. */
static bool is_string(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.base[i];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (c == 0xc2 && i + 1 < text.len && (unsigned char)text.base[i + 1] < 0xa0)
			return false;
	}
	return text.len && utf8_is_valid(text);
}

static bool is_name(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!(name.base[i] >= 'a' && name.base[i] <= 'z') &&
		    !(name.base[i] >= '0' && name.base[i] <= '9'))
			return false;
	return name.len && !slice_equal(name, SLICE_LIT("data"));
}

static void set(json_t *event, const char *name, struct slice value)
{
	if (is_string(value))
		json_object_set_new(event, name, json_stringn(value.base, value.len));
}

static void set_defaults(json_t *event, const struct envelope_content *content)
{
	const struct record *record = content->record;
	struct buffer text = {0};
	char time[25];

	json_object_set_new(event, "specversion", json_string("1.0"));
	buffer_append_slice(&text, record->topic);
	buffer_append_format(&text, "/%d/%lld", (int)record->partition, (long long)record->offset);
	set(event, "id", buffer_slice(&text));
	buffer_clear(&text);
	buffer_append_text(&text, "/topics/");
	buffer_append_slice(&text, record->topic);
	set(event, "source", buffer_slice(&text));
	set(event, "type", DEFAULT_TYPE);
	set(event, "type", content->type);
	if (record->timestamp_ms >= 0) {
		clock_format_rfc3339(record->timestamp_ms, time);
		set(event, "time", slice_of(time));
	}
	set(event, "partitionkey", record->key);
	buffer_free(&text);
}

/* The version is that of what is written here. */
static void set_attributes(json_t *event, const struct record *record)
{
	static const struct slice prefix = SLICE_LIT("ce_");

	for (size_t i = 0; i < record->header_count; i++) {
		struct slice name = record->headers[i].name, value = record->headers[i].value;

		if (name.len <= prefix.len || memcmp(name.base, prefix.base, prefix.len))
			continue;
		name = (struct slice){name.base + prefix.len, name.len - prefix.len};
		if (is_name(name) && !slice_equal(name, SLICE_LIT("specversion")) &&
		    is_string(value))
			json_object_setn_new(event, name.base, name.len,
					     json_stringn(value.base, value.len));
	}
	set(event, "datacontenttype", find_header(record, SLICE_LIT("content-type")));
}

static struct slice type_of(enum envelope_form form)
{
	static const struct slice types[] = {
	    [ENVELOPE_JSON] = SLICE_LIT("application/json"),
	    [ENVELOPE_TEXT] = SLICE_LIT("text/plain"),
	    [ENVELOPE_BASE64] = SLICE_LIT("application/octet-stream"),
	};

	return form == ENVELOPE_NULL ? (struct slice){0} : types[form];
}

/* What the data is by what it is said to be. */
static enum envelope_form declared_form(const struct record *record, enum envelope_form form,
					struct slice type)
{
	if (form == ENVELOPE_NULL || (form == ENVELOPE_JSON && declares_json(type)))
		return form;
	return declares_json(type) ? ENVELOPE_BASE64 : envelope_form_of_text(true, record->value);
}

static void append_data(json_t *event, const struct envelope_content *content, struct buffer *out)
{
	enum envelope_form form = envelope_form_of_value(content);
	const json_t *declared = json_object_get(event, "datacontenttype");

	/* What was selected is JSON, whatever it was selected from. */
	if (content->selected || !declared)
		set(event, "datacontenttype", type_of(form));
	else
		form = declared_form(
		    content->record, form,
		    (struct slice){json_string_value(declared), json_string_length(declared)});
	envelope_open(event, out);
	envelope_append_value("data", form, content, out);
	buffer_append_text(out, "}");
}

void envelope_append_cloudevent(const struct envelope_content *content, struct buffer *out)
{
	json_t *event;

	if (is_structured(content)) {
		envelope_append_json(content->record->value, out);
		return;
	}
	event = json_object();
	set_defaults(event, content);
	set_attributes(event, content->record);
	append_data(event, content, out);
	json_decref(event);
}
