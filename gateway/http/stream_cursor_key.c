#include <stdlib.h>

#include "event/percent.h"
#include "http/problem_priv.h"
#include "http/stream_cursor_priv.h"

void stream_cursor_key_fini(struct stream_cursor_key *key)
{
	buffer_free(&key->name);
	buffer_free(&key->parameters);
}

/* C0 and C1, and DEL. */
static bool has_control(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.base[i];

		if (c < 0x20 || c == 0x7f ||
		    (c == 0xc2 && i + 1 < text.len && (unsigned char)text.base[i + 1] < 0xa0))
			return true;
	}
	return false;
}

static bool is_name(struct slice name)
{
	return name.len && name.len <= CURSORS_MAX_NAME_BYTES && !has_control(name);
}

static struct slice subject_of(const json_t *claims)
{
	const json_t *subject = json_object_get(claims, "sub");
	struct slice text = {json_string_value(subject), json_string_length(subject)};

	if (!text.base || text.len > CURSORS_MAX_SUBJECT_BYTES || memchr(text.base, '\0', text.len))
		return (struct slice){0};
	return text;
}

static void reply_no_subject(struct http_request *request, const struct stream_caller *caller)
{
	const struct http_field challenge = {SLICE_LIT("www-authenticate"),
					     SLICE_LIT("Bearer realm=\"sluice\"")};

	if (caller->claims)
		problem_reply(
		    request, 400,
		    "A cursor belongs to a subject: the token needs a \"sub\" of 1 to 255 "
		    "bytes; or leave ?cursor= out.",
		    NULL, 0);
	else if (caller->why_not)
		stream_reply_unauthorized(request, caller);
	else
		problem_reply(request, 401,
			      "A cursor belongs to the subject of a token: send one, or leave "
			      "?cursor= out.",
			      &challenge, 1);
}

/* The values that decide what the stream is for this request. */
static void read_parameters(const json_t *variables, struct buffer *out)
{
	static const char *const kinds[] = {"path", "query", "header"};
	json_t *values = json_object();
	char *text;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		json_t *of_kind = json_object_get(variables, kinds[i]);

		if (json_object_size(of_kind))
			json_object_set(values, kinds[i], of_kind);
	}
	text = json_dumps(values, JSON_COMPACT | JSON_SORT_KEYS);
	buffer_append_text(out, text);
	free(text);
	json_decref(values);
}

static bool fail(struct http_request *request, const char *detail)
{
	problem_reply(request, 400, detail, NULL, 0);
	return false;
}

bool stream_cursor_read(struct http_request *request, struct slice query,
			const struct stream *stream, const struct stream_caller *caller,
			const json_t *variables, struct stream_cursor_key *key)
{
	struct slice subject = subject_of(caller->claims);
	int rc = ERROR_NOT_FOUND;

	if (query.base)
		rc = percent_find(query, "cursor", &key->name);
	if (rc == ERROR_NOT_FOUND)
		return true;
	if (!app_of(request)->parts.cursor_saver)
		return fail(request,
			    "There are no cursors here, for they need PostgreSQL, which is "
			    "not configured: leave ?cursor= out.");
	if (rc || !is_name(buffer_slice(&key->name)))
		return fail(request, "A cursor's name is 1 to 255 bytes of UTF-8 without control "
				     "characters.");
	if (!subject.len) {
		reply_no_subject(request, caller);
		return false;
	}
	read_parameters(variables, &key->parameters);
	key->key = (struct cursors_key){
	    .subject = subject,
	    .stream = slice_of(stream->name),
	    .name = buffer_slice(&key->name),
	    .parameters = buffer_slice(&key->parameters),
	};
	return true;
}

void stream_cursor_refuse(struct http_request *request, int rc)
{
	const struct http_field retry_after = {SLICE_LIT("retry-after"), SLICE_LIT("5")};

	if (rc == ERROR_LIMIT)
		problem_reply(
		    request, 403,
		    "This subject has as many cursors as it may have: use one of them, or "
		    "have one deleted.",
		    NULL, 0);
	else
		problem_reply(request, 503,
			      "The cursor cannot be read now; try again, or leave ?cursor= out.",
			      &retry_after, 1);
}
