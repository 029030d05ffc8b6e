/* auth_find_token(): where a request carries its token (RFC 6750, 2, and a cookie). */
#include <curl/curl.h>
#include <limits.h>
#include <strings.h>

#include "auth/auth.h"
#include "base/buffer.h"

static const struct slice query_names[] = {SLICE_LIT("token"), SLICE_LIT("access_token")};

static struct slice trim(struct slice text)
{
	while (text.len > 0 && (text.base[0] == ' ' || text.base[0] == '\t')) {
		text.base++;
		text.len--;
	}
	while (text.len > 0 && (text.base[text.len - 1] == ' ' || text.base[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Cuts the text before the first `separator` off `*rest`, the separator too. False at the end. */
static bool next_piece(struct slice *rest, char separator, struct slice *piece)
{
	if (rest->len == 0)
		return false;
	const char *end = memchr(rest->base, separator, rest->len);
	size_t len = end ? (size_t)(end - rest->base) : rest->len;
	size_t used = end ? len + 1 : len;
	*piece = (struct slice){rest->base, len};
	*rest = (struct slice){rest->base + used, rest->len - used};
	return true;
}

/* A piece without "=" is a name with an empty value. */
static void split_pair(struct slice piece, struct slice *name, struct slice *value)
{
	*value = piece;
	if (!next_piece(value, '=', name))
		*name = piece;
}

/* b64token (RFC 6750, 2.1): 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=". */
static bool is_b64token(struct slice text)
{
	size_t len = text.len;
	while (len > 0 && text.base[len - 1] == '=')
		len--;
	for (size_t i = 0; i < len; i++) {
		char byte = text.base[i];
		bool alnum = (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
			     (byte >= '0' && byte <= '9');
		if (!alnum && (byte == '\0' || !strchr("-._~+/", byte)))
			return false;
	}
	return len > 0;
}

static int find_in_authorization(struct slice authorization, struct slice *token)
{
	struct slice rest = trim(authorization);
	struct slice scheme;
	if (!next_piece(&rest, ' ', &scheme))
		return ERROR_INVALID;
	rest = trim(rest);
	if (!slice_equal_ascii_case(scheme, SLICE_LIT("Bearer")) || !is_b64token(rest))
		return ERROR_INVALID;
	*token = rest;
	return 0;
}

static bool is_query_name(struct slice name)
{
	for (size_t i = 0; i < sizeof(query_names) / sizeof(query_names[0]); i++) {
		if (slice_equal(name, query_names[i]))
			return true;
	}
	return false;
}

/* A "%" without two hex digits stays as it is, and no token holds one. */
static struct slice decode(struct slice raw, struct buffer *scratch)
{
	int len = 0;
	if (!memchr(raw.base, '%', raw.len) || raw.len > INT_MAX)
		return raw;
	char *decoded = curl_easy_unescape(NULL, raw.base, (int)raw.len, &len);
	buffer_clear(scratch);
	buffer_append(scratch, decoded, (size_t)len);
	curl_free(decoded);
	return buffer_slice(scratch);
}

/* The first that is not empty, as with cookies. */
static int find_in_query(struct slice query, struct buffer *scratch, struct slice *token)
{
	struct slice pair;
	struct slice name;
	struct slice value;
	while (next_piece(&query, '&', &pair)) {
		split_pair(pair, &name, &value);
		if (value.len == 0 || !is_query_name(name))
			continue;
		*token = decode(value, scratch);
		return 0;
	}
	return ERROR_NOT_FOUND;
}

static struct slice unquote(struct slice value)
{
	if (value.len >= 2 && value.base[0] == '"' && value.base[value.len - 1] == '"')
		return (struct slice){value.base + 1, value.len - 2};
	return value;
}

/* The Cookie header (RFC 6265, 4.2.1). */
static int find_in_cookie(struct slice cookie, struct slice wanted, struct slice *token)
{
	struct slice pair;
	struct slice name;
	struct slice value;
	while (next_piece(&cookie, ';', &pair)) {
		split_pair(trim(pair), &name, &value);
		value = unquote(value);
		if (value.len == 0 || !slice_equal(name, wanted))
			continue;
		*token = value;
		return 0;
	}
	return ERROR_NOT_FOUND;
}

int auth_find_token(const struct auth_settings *settings, struct slice authorization,
		    struct slice query, struct slice cookie, struct buffer *scratch,
		    struct slice *token)
{
	if (authorization.base)
		return find_in_authorization(authorization, token);
	if (settings->query && find_in_query(query, scratch, token) == 0)
		return 0;
	if (settings->cookie)
		return find_in_cookie(cookie, slice_of(settings->cookie), token);
	return ERROR_NOT_FOUND;
}
