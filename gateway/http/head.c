#include "http/head_priv.h"

#include <stdbool.h>

#include "http/request_priv.h"

/* libh2o's H2O_MAX_HEADERS. */
enum { MAX_FIELDS = 100 };

/* RFC 9110, 5.6.2. */
static bool is_token_char(unsigned char c)
{
	if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return true;
	return c && strchr("!#$%&'*+-.^_`|~", c);
}

static bool is_token(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_token_char((unsigned char)text.base[i]))
			return false;
	return text.len > 0;
}

/* RFC 9112, 3.2 leaves it to RFC 3986; here: visible ASCII. */
static bool is_target(struct slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.base[i] <= ' ' || text.base[i] > '~')
			return false;
	return text.len > 0;
}

/* RFC 9110, 5.5: no control characters but HTAB. */
static bool is_field_value(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.base[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return false;
	}
	return true;
}

/* Takes the next line, without its CRLF or LF, off the rest. */
static struct slice next_line(struct slice *rest)
{
	const char *end = memchr(rest->base, '\n', rest->len);
	struct slice line = {rest->base, (size_t)(end - rest->base)};

	rest->len -= line.len + 1;
	rest->base = end + 1;
	if (line.len && line.base[line.len - 1] == '\r')
		line.len--;
	return line;
}

/* Takes what is before `separator` off the rest; all of it where there is none. */
static struct slice next_part(struct slice *rest, char separator)
{
	const char *end = rest->len ? memchr(rest->base, separator, rest->len) : NULL;
	struct slice part = {rest->base, end ? (size_t)(end - rest->base) : rest->len};
	size_t taken = part.len + (end != NULL);

	rest->base += taken;
	rest->len -= taken;
	return part;
}

static struct slice trim(struct slice text)
{
	while (text.len && (text.base[0] == ' ' || text.base[0] == '\t')) {
		text.base++;
		text.len--;
	}
	while (text.len && (text.base[text.len - 1] == ' ' || text.base[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static const char *check_request_line(struct slice line, bool *is_http11)
{
	struct slice method = next_part(&line, ' ');
	struct slice target = next_part(&line, ' ');

	if (!is_token(method))
		return "The request line has no valid method.";
	if (!is_target(target))
		return "The request line has no valid target.";
	if (!slice_equal(line, SLICE_LIT("HTTP/1.1")) && !slice_equal(line, SLICE_LIT("HTTP/1.0")))
		return "The request line must end with HTTP/1.1 or HTTP/1.0.";
	*is_http11 = line.base[7] == '1';
	return NULL;
}

/* What the fields say, as far as it decides. */
struct facts {
	unsigned fields;
	unsigned hosts;
	unsigned codings;
	bool has_length;
	bool has_other_coding;
	uint64_t length;
};

static const char *take_length(struct facts *facts, struct slice value)
{
	uint64_t length = 0;

	if (value.len == 0 || value.len > 18)
		return "The content-length is not a number.";
	for (size_t i = 0; i < value.len; i++) {
		if (value.base[i] < '0' || value.base[i] > '9')
			return "The content-length is not a number.";
		length = 10 * length + (uint64_t)(value.base[i] - '0');
	}
	if (facts->has_length && facts->length != length)
		return "There are two different content-lengths.";
	facts->has_length = true;
	facts->length = length;
	return NULL;
}

static const char *check_field(struct slice line, struct facts *facts)
{
	struct slice name = next_part(&line, ':');
	struct slice value = trim(line);

	facts->fields++;
	/* Without a colon `line` is at the end of `name`; a fold (RFC 9112, 5.2) begins with a
	 * space. */
	if (line.base == name.base + name.len || !is_token(name))
		return "A header field's name is malformed.";
	if (!is_field_value(value))
		return "A header field's value holds a control character.";
	if (slice_equal_ascii_case(name, SLICE_LIT("host")))
		facts->hosts++;
	if (slice_equal_ascii_case(name, SLICE_LIT("transfer-encoding"))) {
		facts->codings++;
		facts->has_other_coding = !slice_equal_ascii_case(value, SLICE_LIT("chunked"));
	}
	if (slice_equal_ascii_case(name, SLICE_LIT("expect")) &&
	    !slice_equal_ascii_case(value, SLICE_LIT("100-continue")))
		return "Nothing but 100-continue can be expected.";
	if (slice_equal_ascii_case(name, SLICE_LIT("content-length")))
		return take_length(facts, value);
	return NULL;
}

/* It has to be clear where the body ends (RFC 9112, 6.1): a proxy in between may see it elsewhere.
 * Another coding is 400, not 501: what a client does wrong is no failure of the server's. */
static const char *check_coding(const struct facts *facts, bool is_http11)
{
	if (facts->codings > 1)
		return "There are two transfer-encoding fields.";
	if (facts->codings && facts->has_length)
		return "There are a transfer-encoding and a content-length.";
	if (facts->codings && !is_http11)
		return "HTTP/1.0 has no transfer-encoding.";
	if (facts->has_other_coding)
		return "The only transfer-encoding of a request is chunked.";
	return NULL;
}

static enum head_verdict refuse(struct head_refusal *refusal, int status, const char *detail)
{
	*refusal = (struct head_refusal){status, detail};
	return HEAD_REFUSED;
}

/* `head` is complete, with the empty line at its end. */
static enum head_verdict check(struct slice head, uint64_t max_body_bytes,
			       struct head_refusal *refusal)
{
	struct facts facts = {0};
	bool is_http11;
	const char *wrong = check_request_line(next_line(&head), &is_http11);

	for (struct slice line; !wrong && (line = next_line(&head)).len;)
		wrong = check_field(line, &facts);
	if (!wrong)
		wrong = check_coding(&facts, is_http11);
	if (!wrong && (facts.hosts > 1 || (is_http11 && !facts.hosts)))
		wrong = "There must be one host field.";
	if (wrong)
		return refuse(refusal, 400, wrong);
	if (facts.fields > MAX_FIELDS)
		return refuse(refusal, 431, "There are too many header fields.");
	if (facts.length > max_body_bytes)
		return refuse(refusal, 413, HTTP_BODY_TOO_LARGE);
	return HEAD_COMPLETE;
}

/* Where the empty line's LF is, or bytes.len. It is looked for as libh2o does: LF LF and LF CR LF
 * both end a head. */
static size_t find_end(struct slice bytes, uint32_t scanned)
{
	size_t at = scanned > 3 ? scanned - 3 : 0;

	while (at < bytes.len) {
		const char *line = memchr(bytes.base + at, '\n', bytes.len - at);

		if (!line)
			break;
		at = (size_t)(line - bytes.base) + 1;
		if (at < bytes.len && bytes.base[at] == '\n')
			return at;
		if (at + 1 < bytes.len && bytes.base[at] == '\r' && bytes.base[at + 1] == '\n')
			return at + 1;
	}
	return bytes.len;
}

enum head_verdict head_check(struct slice bytes, uint32_t *scanned, uint32_t max_head_bytes,
			     uint64_t max_body_bytes, struct head_refusal *refusal)
{
	size_t end = find_end(bytes, *scanned);
	bool complete = end < bytes.len;

	*scanned = (uint32_t)bytes.len;
	if ((complete ? end + 1 : bytes.len) > max_head_bytes)
		return refuse(refusal, 431, "The request's head is too large.");
	if (!complete)
		return HEAD_INCOMPLETE;
	bytes.len = end + 1;
	/* One empty line before the request is left out (RFC 9112, 2.2). */
	if (bytes.len > 2 && memcmp(bytes.base, "\r\n", 2) == 0) {
		bytes.base += 2;
		bytes.len -= 2;
	}
	return check(bytes, max_body_bytes, refusal);
}
