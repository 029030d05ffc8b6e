#include "event/json_pointer_priv.h"

#include <ctype.h>

/* RFC 6901, 4: "~1" is "/", "~0" is "~", any other "~" is malformed. False where it is. */
static bool unescape(struct slice token, struct buffer *out)
{
	for (size_t i = 0; i < token.len; i++) {
		char c = token.base[i];

		if (c == '~') {
			if (++i == token.len || (token.base[i] != '0' && token.base[i] != '1'))
				return false;
			c = token.base[i] == '0' ? '~' : '/';
		}
		buffer_append(out, &c, 1);
	}
	return true;
}

static const json_t *member(const json_t *object, struct slice token)
{
	struct buffer name = {0};
	const json_t *found = NULL;

	if (!token.len || !memchr(token.base, '~', token.len))
		return json_object_getn(object, token.base, token.len);
	if (unescape(token, &name))
		found = json_object_getn(object, name.base, name.len);
	buffer_free(&name);
	return found;
}

static const json_t *element(const json_t *array, struct slice token)
{
	enum { MAX_DIGITS = 9 };
	size_t index = 0;

	if (!token.len || token.len > MAX_DIGITS || (token.len > 1 && token.base[0] == '0'))
		return NULL;
	for (size_t i = 0; i < token.len; i++) {
		if (!isdigit((unsigned char)token.base[i]))
			return NULL;
		index = 10 * index + (size_t)(token.base[i] - '0');
	}
	return json_array_get(array, index);
}

const json_t *json_pointer_find(const json_t *json, const char *pointer)
{
	const json_t *at = json;

	while (at && *pointer) {
		struct slice token;

		if (*pointer++ != '/')
			return NULL;
		token = (struct slice){pointer, strcspn(pointer, "/")};
		pointer += token.len;
		at = json_is_array(at) ? element(at, token) : member(at, token);
	}
	return at;
}

bool json_pointer_is_escaped(const char *pointer)
{
	while ((pointer = strchr(pointer, '~'))) {
		if (pointer[1] != '0' && pointer[1] != '1')
			return false;
		pointer++;
	}
	return true;
}

void json_pointer_append(struct buffer *pointer, const char *name)
{
	buffer_append_text(pointer, "/");
	for (; *name; name++) {
		if (*name == '~' || *name == '/')
			buffer_append_text(pointer, *name == '~' ? "~0" : "~1");
		else
			buffer_append(pointer, name, 1);
	}
}
