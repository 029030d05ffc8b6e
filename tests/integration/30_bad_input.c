/*
 * What a client can get wrong, and the answer that says so: one table, over HTTP/1.1 and HTTP/2. No
 * row may open a stream.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

#include "base/base64url.h"
#include "lib/gateway_process.h"
#include "lib/http_client.h"
#include "lib/kafka_broker.h"
#include "lib/watch.h"
#include "unit/auth/signer.h"
#include "unit/http/client.h"

/* clang-format off */
#define JSON(...) #__VA_ARGS__
static const char config[] = JSON(
{
	"listeners": [{ "address": "127.0.0.1", "port": 0, "serve": ["streams", "admin"] }],
	"http": { "loops": 1, "max_head": "32KiB" },
	"kafka": { "bootstrap.servers": "${BAD_INPUT_KAFKA}", "fetch.wait.max.ms": 10 },
	"cors": { "origins": ["https://app.example.org"], "credentials": true },
	"auth": {
		"issuers": [{ "issuer": "here", "audience": "sluice", "algorithms": ["HS256"], "secret_file": "${BAD_INPUT_FOLDER}/secret" }],
		"cookie": "session",
		"leeway": "0s"
	},
	"streams": {
		"events": { "path": "/events", "topics": ["events"], "access": "public" },
		"narrowed": { "path": "/narrowed", "topics": ["events"], "access": "public", "client_filters": true },
		"others": { "path": "/others", "topics": ["events"], "access": "public" },
		"custom": { "path": "/custom", "topics": ["events"], "access": "public", "event": { "id": "/value/id" } },
		"typed": {
			"path": "/typed/{id}", "topics": ["events"], "access": "public",
			"params": {
				"id": { "in": "path", "type": "integer", "minimum": 1, "maximum": 100 },
				"need": { "in": "query", "required": true },
				"level": { "in": "query", "enum": ["low", "high"] },
				"flag": { "in": "query", "type": "boolean" },
				"ratio": { "in": "query", "type": "number", "minimum": 0.5 },
				"x-tenant": { "in": "header", "enum": ["t1", "t2"] },
				"x-note": { "in": "header" }
			}
		},
		"recent": {
			"path": "/recent", "topics": ["events"], "access": "public",
			"params": { "last": { "type": "integer", "maximum": 5 } },
			"start": { "last": "{query.last}" }
		},
		"closed": { "path": "/closed", "topics": ["events"] },
		"mine": { "path": "/mine/{id}", "topics": ["events"], "access": { "claims": { "sub": ["{path.id}"] } } },
		"claimed": { "path": "/claimed", "topics": ["events"], "access": "public", "filter": { "key": ["{claims.tenant}"] } },
		"topics": { "path": "/topics/{topic}", "topics": ["{path.topic}"], "allow_topics": ["live.*"], "access": "public" }
	}
}
);
/* clang-format on */

enum { BIG = 40000, FIELDS = 4, EXPECTED = 5 };

static char big[BIG + 1], long_id[24 * 1024 + 2], long_custom_id[1026], long_token[8192 + 24];

/*
 * One request and its answer. Each row has at most one of:
 * `id` in hex digits, "H" for the hash in the stream's own ids, "F" for that of another stream's.
 * Sent as Last-Event-ID, and in the query; `text_id` the same as text; `claims` signed into a
 * token, "N" for the time now in seconds, with `token_head` where it is not the usual one. Sent as
 * Bearer, in the query, and in the cookie; `raw` the whole of the request, for HTTP/1.1 alone.
 */
struct row {
	const char *name;
	const char *method;         /* NULL: GET */
	const char *target;         /* NULL: /events */
	const char *body;           /* NULL: none */
	const char *fields[FIELDS]; /* "name: value" */
	const char *id, *text_id;
	const char *claims, *token_head;
	bool forged;     /* the token is signed by somebody else */
	unsigned repeat; /* sends the first field so many times more */
	const char *raw;
	int status;
	const char *detail;             /* a piece of the problem's */
	const char *expected[EXPECTED]; /* "name: value"; "name:" is not there */
};

#define ALLOW_GET "allow: GET, HEAD, OPTIONS"
#define OTHER_ID  "Last-Event-ID is not one of this stream's: "
#define INVALID                                                                                    \
	"www-authenticate: Bearer realm=\"sluice\", error=\"invalid_token\", error_description=\""
#define CLAIMS(more) "{\"iss\":\"here\",\"aud\":\"sluice\",\"sub\":\"ada\"" more "}"
#define RAW(text)    "GET /events " text
#define ALLOW_FILTER "allow: GET, HEAD, OPTIONS, POST, QUERY"
#define JSON_BODY    "Content-Type: application/json"
#define BODY(bytes)  .method = "POST", .target = "/narrowed", .fields = {JSON_BODY}, .body = bytes
#define NO_PATTERN   "The body is no pattern for this stream: "
#define WILDCARD     "%7B%22wildcard%22%3A%22*a*%22%7D"
#define WILDCARDS                                                                                  \
	WILDCARD "," WILDCARD "," WILDCARD "," WILDCARD "," WILDCARD "," WILDCARD "," WILDCARD     \
		 "," WILDCARD

static const struct row rows[] = {
    {"last: less than none", .target = "/recent?last=-1", .status = 400,
     .detail = "\"last\" is how many of the last events come first: an integer from 0 to 5."},
    /* ?filter= */
    {"filter: where none is taken", .target = "/events?filter=%7B%7D", .status = 400,
     .detail = "This stream takes no filter of a client's"},
    {"filter: twice",
     .target = "/narrowed?filter=%7B%22key%22%3A%5B%22a%22%5D%7D&%66ilter=%7B%22key%22%3A%5B%22b%22"
	       "%5D%7D",
     .status = 400, .detail = "it comes twice"},
    {"filter: no JSON", .target = "/narrowed?filter=%7B", .status = 400,
     .detail = "it is not JSON"},
    {"filter: empty", .target = "/narrowed?filter=", .status = 400, .detail = "it is not JSON"},
    {"filter: a field that no record has", .target = "/narrowed?filter=%7B%22valeu%22%3A%5B1%5D%7D",
     .status = 400, .detail = "/valeu: unknown field"},
    {"filter: a wrong operator",
     .target = "/narrowed?filter=%7B%22value%22%3A%5B%7B%22numeric%22%3A%5B5%5D%7D%5D%7D",
     .status = 400, .detail = "/value/0: "},
    {"filter: a variable",
     .target = "/narrowed?filter=%7B%22key%22%3A%5B%22%7Bclaims.sub%7D%22%5D%7D", .status = 400,
     .detail = "/key/0: {claims.sub} is a variable, and none can be used here"},
    {"filter: a level without a stream's parameter",
     .target = "/narrowed?filter=%7B%22key%22%3A%5B%7B%22at-least%22%3A%22warn%22%7D%5D%7D",
     .status = 400, .detail = "/key/0: \"at-least\" takes one variable"},
    {"filter: too many steps for a value",
     .target = "/narrowed?filter=%7B%22key%22%3A%5B" WILDCARDS "," WILDCARDS "%5D%7D",
     .status = 400, .detail = "it may take 66 steps for each value of an event, and 64 at most"},
    {"filter: percent", .target = "/narrowed?filter=%7", .status = 400,
     .detail = "percent-encoded"},
    /* A filter as the body. */
    {"body: none", .method = "POST", .target = "/narrowed", .fields = {JSON_BODY}, .status = 400,
     .detail = "The body is empty, but must be a filter"},
    {"body: empty", BODY(""), .status = 400, .detail = "The body is empty"},
    {"body: QUERY without", .method = "QUERY", .target = "/narrowed", .status = 400,
     .detail = "The body is empty"},
    {"body: blanks", BODY(" \r\n"), .status = 400, .detail = NO_PATTERN "it is not JSON"},
    {"body: no JSON", BODY("{"), .status = 400, .detail = NO_PATTERN "it is not JSON"},
    {"body: two of them", BODY("{}{}"), .status = 400, .detail = NO_PATTERN "it is not JSON"},
    {"body: a string", BODY("\"a\""), .status = 400, .detail = NO_PATTERN},
    {"body: a list", BODY("[]"), .status = 400, .detail = NO_PATTERN},
    {"body: null", BODY("null"), .status = 400, .detail = NO_PATTERN},
    {"body: a field twice", BODY("{\"key\":[\"a\"],\"key\":[\"b\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON"},
    {"body: a field that no record has", BODY("{\"claims\":{\"sub\":[\"a\"]}}"), .status = 400,
     .detail = NO_PATTERN "/claims: unknown field"},
    {"body: a variable", BODY("{\"key\":[\"{claims.sub}\"]}"), .status = 400,
     .detail = NO_PATTERN "/key/0: "},
    {"body: a byte order mark", BODY("\xEF\xBB\xBF{\"key\":[\"a\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON"},
    {"body: not UTF-8", BODY("{\"key\":[\"\xFF\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON"},
    {"body: overlong UTF-8", BODY("{\"key\":[\"\xC0\xAF\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON"},
    {"body: a line break in a string", BODY("{\"key\":[\"a\r\nb\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON"},
    {"body: NUL", BODY("{\"key\":[\"\\u0000\"]}"), .status = 400,
     .detail = NO_PATTERN "it is not JSON: \\u0000 stands in a string."},
    {"body: a form", .method = "POST", .target = "/narrowed", .body = "{\"key\":[\"a\"]}",
     .status = 415, .detail = "A filter's content-type is application/json.",
     .expected = {"accept-post: application/json", "accept-query: application/json"}},
    {"body: of no type", .method = "QUERY", .target = "/narrowed", .fields = {"Content-Type:"},
     .body = "{\"key\":[\"a\"]}", .status = 415, .detail = "application/json"},
    {"body: another charset", .method = "QUERY", .target = "/narrowed",
     .fields = {JSON_BODY "; charset=utf-16"}, .body = "{\"key\":[\"a\"]}", .status = 415,
     .detail = "application/json"},
    {"head: body too large",
     .raw = "POST /narrowed HTTP/1.1\r\nHost: a\r\nContent-Length: 4097\r\n\r\n", .status = 413,
     .detail = "body is too large"},
    {"head: body too large for nobody",
     .raw =
	 "POST /nope HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4097\r\n\r\n",
     .status = 413, .detail = "body is too large: it may have 4096 bytes"},
    {"body: beside a wrong filter", .method = "POST", .target = "/narrowed?filter=%7B",
     .fields = {JSON_BODY}, .body = "{\"key\":[\"a\"]}", .status = 400,
     .detail = "The filter parameter is no pattern"},
    {"body: beside a wrong id", BODY("{\"key\":[\"a\"]}"), .text_id = "A", .status = 400,
     .detail = OTHER_ID "it is not base64url"},
    {"body: with GET", .method = "GET", .target = "/narrowed", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 400, .detail = "GET and HEAD have no body"},
    {"body: with PUT", .method = "PUT", .target = "/narrowed", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 405, .detail = "POST or QUERY",
     .expected = {ALLOW_FILTER}},
    {"body: with query", .method = "query", .target = "/narrowed", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 405, .expected = {ALLOW_FILTER}},
    {"body: where none is taken", .method = "QUERY", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 405, .detail = "A stream is read with GET.",
     .expected = {ALLOW_GET, "accept-query:"}},
    {"body: of several streams", .method = "POST", .target = "/streams?s=/narrowed",
     .fields = {JSON_BODY}, .body = "{\"key\":[\"a\"]}", .status = 405,
     .detail = "Several streams are read with GET", .expected = {ALLOW_GET, "accept-post:"}},
    {"body: of no stream", .method = "POST", .target = "/nope", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 404, .detail = "No stream"},
    {"body: of /metrics", .method = "POST", .target = "/metrics", .fields = {JSON_BODY},
     .body = "{\"key\":[\"a\"]}", .status = 405, .detail = "read with GET",
     .expected = {ALLOW_GET}},
    {"body: for another answer", .method = "POST", .target = "/narrowed",
     .fields = {JSON_BODY, "Accept: application/json"}, .body = "{\"key\":[\"a\"]}", .status = 406,
     .detail = "text/event-stream"},
    {"head: no chunk",
     .raw = "POST /narrowed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
     .status = 400, .detail = "body is malformed"},
    {"body: no chunks",
     .raw = "POST /narrowed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     .status = 400, .detail = "The body is empty"},
    {"body: HEAD says that it may be", .method = "HEAD", .target = "/narrowed", .status = 200,
     .expected = {"accept-query: application/json", "accept-post: application/json"}},
    {"body: HEAD where none is taken", .method = "HEAD", .status = 200,
     .expected = {"accept-query:", "accept-post:"}},

    /* Last-Event-ID. */
    {"id: a letter", .text_id = "A", .status = 400, .detail = OTHER_ID "it is not base64url"},
    {"id: of /streams", .text_id = "~AQAAAAAA.AQAA", .status = 400,
     .detail = OTHER_ID "it is of several streams in one connection"},
    {"id: short", .text_id = "AQAA", .status = 400, .detail = OTHER_ID "it is too short"},
    {"id: other letters", .text_id = "AQ+/", .status = 400,
     .detail = OTHER_ID "it is not base64url without padding"},
    {"id: padding", .text_id = "AQAAAA==", .status = 400,
     .detail = OTHER_ID "it is not base64url without padding"},
    {"id: padding bits", .text_id = "AQB", .status = 400,
     .detail = OTHER_ID "it is not base64url without padding"},
    {"id: a browser's word", .text_id = "undefined", .status = 400,
     .detail = OTHER_ID "it is not base64url"},
    {"id: a number", .text_id = "12345678", .status = 400, .detail = OTHER_ID "it is too short"},
    {"id: too long", .text_id = long_id, .status = 400, .detail = OTHER_ID "it is too long"},
    {"id: version", .id = "02 00 H 01 01 00", .status = 400,
     .detail = OTHER_ID "its version is unknown"},
    {"id: flags", .id = "01 02 H 01 01 00", .status = 400,
     .detail = OTHER_ID "it has unknown flags"},
    {"id: another stream's", .id = "01 00 F 01 01 00", .status = 400,
     .detail = OTHER_ID "it belongs to another stream"},
    {"id: nobody's", .id = "01 00 0000000000000000 01 01 00", .status = 400,
     .detail = OTHER_ID "it belongs to another stream"},
    {"id: no topic count", .id = "01 00 H", .status = 400,
     .detail = "the topic count is malformed"},
    {"id: topic count cut off", .id = "01 00 H 80", .status = 400,
     .detail = "the topic count is malformed"},
    {"id: overlong topic count", .id = "01 00 H 81 00 01 00", .status = 400,
     .detail = "the topic count is malformed"},
    {"id: 70 bits of topics", .id = "01 00 H ffffffffffffffffff7f", .status = 400,
     .detail = "the topic count is malformed"},
    {"id: 2^63-1 topics", .id = "01 00 H ffffffffffffffff7f", .status = 400,
     .detail = "it names more topics than there can be"},
    {"id: no topics", .id = "01 00 H 00", .status = 400, .detail = "it names other topics"},
    {"id: two topics", .id = "01 00 H 02 01 00 01 00", .status = 400,
     .detail = "it names other topics"},
    {"id: no partition count", .id = "01 00 H 01", .status = 400,
     .detail = "a partition count is malformed"},
    {"id: 2^63-1 partitions", .id = "01 00 H 01 ffffffffffffffff7f", .status = 400,
     .detail = "it names more partitions than there can be"},
    {"id: partitions cut off", .id = "01 00 H 01 03 00 00", .status = 400,
     .detail = "it is cut off"},
    {"id: offset cut off", .id = "01 00 H 01 01 80", .status = 400,
     .detail = "an offset is malformed"},
    {"id: overlong offset", .id = "01 00 H 01 02 80 00", .status = 400,
     .detail = "an offset is malformed"},
    {"id: bytes after it", .id = "01 00 H 01 01 00 00", .status = 400,
     .detail = "bytes follow its end"},
    {"id: final", .id = "01 01 H 01 01 00", .status = 204},
    {"id: final, of another stream", .id = "01 01 F 01 01 00", .status = 400,
     .detail = "it belongs to another stream"},
    {"id: custom, too long", .target = "/custom", .text_id = long_custom_id, .status = 400,
     .detail = OTHER_ID},
    {"id: % in the query", .target = "/events?lastEventId=%zz", .status = 400,
     .detail = "lastEventId is not percent-encoded UTF-8"},
    {"id: NUL in the query", .target = "/events?last_event_id=AQ%00", .status = 400,
     .detail = "lastEventId is not percent-encoded UTF-8"},

    /* Parameters. */
    {"path: below the minimum", .target = "/typed/0?need=1", .status = 400,
     .detail = "path parameter \"id\" is \"0\", but must be an integer from 1 to 100"},
    {"path: above the maximum", .target = "/typed/101?need=1", .status = 400,
     .detail = "must be an integer from 1 to 100"},
    {"path: no integer", .target = "/typed/1.5?need=1", .status = 400,
     .detail = "must be an integer"},
    {"path: text", .target = "/typed/one?need=1", .status = 400,
     .detail = "path parameter \"id\" is \"one\""},
    {"path: more than 64 bits", .target = "/typed/18446744073709551617?need=1", .status = 400,
     .detail = "must be an integer"},
    {"path: a sign", .target = "/typed/+1?need=1", .status = 400, .detail = "must be an integer"},
    {"path: a zero first", .target = "/typed/01?need=1", .status = 400,
     .detail = "must be an integer"},
    {"path: a space first", .target = "/typed/%201?need=1", .status = 400,
     .detail = "must be an integer"},
    {"path: a quote", .target = "/typed/%22%5C%0A?need=1", .status = 400,
     .detail = "path parameter \"id\" is \"\\\"\\\\\\n\""},
    {"path: markup", .target = "/typed/%3Cscript%3E?need=1", .status = 400,
     .detail = "path parameter \"id\" is \"<script>\""},
    {"path: % without digits", .target = "/typed/%zz?need=1", .status = 400,
     .detail = "The path has a % without two hex digits, or is not UTF-8"},
    {"path: % at the end", .target = "/topics/live.%", .status = 400, .detail = "The path has a %"},
    {"path: %4", .target = "/topics/live.%4", .status = 400, .detail = "The path has a %"},
    {"path: NUL", .target = "/typed/1%00?need=1", .status = 400, .detail = "The path has a %"},
    {"path: not UTF-8", .target = "/typed/%FF?need=1", .status = 400, .detail = "is not UTF-8"},
    {"path: overlong UTF-8", .target = "/typed/%C0%B1?need=1", .status = 400,
     .detail = "is not UTF-8"},
    {"query: missing", .target = "/typed/1", .status = 400,
     .detail = "query parameter \"need\" is missing, but must be a string"},
    {"query: in another case", .target = "/typed/1?Need=1", .status = 400,
     .detail = "query parameter \"need\" is missing"},
    {"query: not of the enum", .target = "/typed/1?need=1&level=mid", .status = 400,
     .detail = "query parameter \"level\" is \"mid\", but must be one of \"low\", \"high\""},
    {"query: empty", .target = "/typed/1?need=1&level=", .status = 400,
     .detail = "must be one of \"low\", \"high\""},
    {"query: the enum in another case", .target = "/typed/1?need=1&level=LOW", .status = 400,
     .detail = "must be one of"},
    {"query: no boolean", .target = "/typed/1?need=1&flag=1", .status = 400,
     .detail = "query parameter \"flag\" is \"1\", but must be true or false"},
    {"query: True", .target = "/typed/1?need=1&flag=True", .status = 400,
     .detail = "must be true or false"},
    {"query: a name alone", .target = "/typed/1?need=1&flag", .status = 400,
     .detail = "must be true or false"},
    {"query: below the minimum", .target = "/typed/1?need=1&ratio=0.49", .status = 400,
     .detail = "must be a number of at least 0.5"},
    {"query: NaN", .target = "/typed/1?need=1&ratio=NaN", .status = 400,
     .detail = "must be a number"},
    {"query: Infinity", .target = "/typed/1?need=1&ratio=Infinity", .status = 400,
     .detail = "must be a number"},
    {"query: beyond doubles", .target = "/typed/1?need=1&ratio=1e999", .status = 400,
     .detail = "must be a number"},
    {"query: hexadecimal", .target = "/typed/1?need=1&ratio=0x1", .status = 400,
     .detail = "must be a number"},
    {"query: no digit before the point", .target = "/typed/1?need=1&ratio=.9", .status = 400,
     .detail = "must be a number"},
    {"query: something after it", .target = "/typed/1?need=1&ratio=1;", .status = 400,
     .detail = "must be a number"},
    {"query: % without digits", .target = "/typed/1?need=%zz", .status = 400,
     .detail = "The query has a % without two hex digits, or is not UTF-8"},
    {"query: % at the end", .target = "/typed/1?need=%", .status = 400,
     .detail = "The query has a %"},
    {"query: NUL", .target = "/typed/1?need=%00", .status = 400, .detail = "The query has a %"},
    {"query: not UTF-8", .target = "/typed/1?need=%E2%82", .status = 400, .detail = "is not UTF-8"},
    {"query: a surrogate", .target = "/typed/1?need=%ED%A0%80", .status = 400,
     .detail = "is not UTF-8"},
    {"header: not of the enum", .target = "/typed/1?need=1", .fields = {"X-Tenant: t3"},
     .status = 400, .detail = "header parameter \"x-tenant\" is \"t3\", but must be one of"},
    {"header: not UTF-8", .target = "/typed/1?need=1", .fields = {"X-Note: \xFF"}, .status = 400,
     .detail = "header parameter \"x-note\" is \"\xEF\xBF\xBD\", but must be a string"},

    /* Paths. */
    {"path of no stream", .target = "/nope", .status = 404,
     .detail = "No stream of the configuration has this path."},
    {"page that is not served", .target = "/", .status = 404, .detail = "No stream"},
    {"list that is not served", .target = "/streams.json", .status = 404, .detail = "No stream"},
    {"slash at the end", .target = "/events/", .status = 404, .detail = "No stream"},
    {"slash at the beginning", .target = "//events", .status = 404, .detail = "No stream"},
    {"slash encoded", .target = "/events%2F", .status = 404, .detail = "No stream"},
    {"segment too many", .target = "/events/x", .status = 404, .detail = "No stream"},
    {"segment empty", .target = "/typed/", .status = 404, .detail = "No stream"},
    {"other case", .target = "/Events", .status = 404, .detail = "No stream"},
    {"dots", .target = "/x/../events", .status = 404, .detail = "No stream"},
    {"dots encoded", .target = "/x/%2e%2e/events", .status = 404, .detail = "No stream"},
    {"% without digits", .target = "/event%zz", .status = 404, .detail = "No stream"},
    {"topic that is not allowed", .target = "/topics/events", .status = 404,
     .detail = "This stream has no such topic."},
    {"topic: Kafka's own", .target = "/topics/__consumer_offsets", .status = 404,
     .detail = "no such topic"},
    {"topic: the pattern", .target = "/topics/live.*", .status = 404, .detail = "no such topic"},
    {"topic: a slash", .target = "/topics/live.%2Fx", .status = 404, .detail = "no such topic"},
    {"topic: a line break", .target = "/topics/live.%0A", .status = 404, .detail = "no such topic"},
    {"topic: not ASCII", .target = "/topics/live.%C3%A4", .status = 404, .detail = "no such topic"},

    /* Methods. */
    {"POST", .method = "POST", .status = 405, .detail = "A stream is read with GET.",
     .expected = {ALLOW_GET}},
    {"PUT", .method = "PUT", .status = 405, .detail = "GET", .expected = {ALLOW_GET}},
    {"DELETE", .method = "DELETE", .status = 405, .detail = "GET", .expected = {ALLOW_GET}},
    {"TRACE", .method = "TRACE", .status = 405, .detail = "GET", .expected = {ALLOW_GET}},
    {"an unknown method", .method = "BREW", .status = 405, .detail = "GET",
     .expected = {ALLOW_GET}},
    {"get", .method = "get", .status = 405, .detail = "GET", .expected = {ALLOW_GET}},
    {"POST to what needs a token", .method = "POST", .target = "/mine/ada", .status = 405,
     .detail = "GET", .expected = {ALLOW_GET}},
    {"POST to /healthz", .method = "POST", .target = "/healthz", .status = 405,
     .detail = "This resource is read with GET.", .expected = {ALLOW_GET}},
    {"DELETE of /metrics", .method = "DELETE", .target = "/metrics", .status = 405, .detail = "GET",
     .expected = {ALLOW_GET}},
    {"POST to no stream", .method = "POST", .target = "/nope", .status = 404,
     .detail = "No stream"},
    {"HEAD of no stream", .method = "HEAD", .target = "/nope", .status = 404},
    {"HEAD without a token", .method = "HEAD", .target = "/mine/ada", .status = 401,
     .expected = {"www-authenticate: Bearer realm=\"sluice\""}},

    /* Accept. */
    {"Accept: JSON", .fields = {"Accept: application/json"}, .status = 406,
     .detail = "A stream is text/event-stream"},
    {"Accept: a page", .fields = {"Accept: text/html,application/xhtml+xml;q=0.9"}, .status = 406,
     .detail = "Accept"},
    {"Accept: refused", .fields = {"Accept: text/event-stream;q=0"}, .status = 406,
     .detail = "Accept"},
    {"Accept: all but this", .fields = {"Accept: */*, text/event-stream; q=0.000"}, .status = 406,
     .detail = "Accept"},
    {"Accept: all of text but this",
     .fields = {"Accept: text/event-stream;charset=x;Q=0.0, text/*"}, .status = 406,
     .detail = "Accept"},
    {"Accept: a longer name", .fields = {"Accept: text/event-streams"}, .status = 406,
     .detail = "Accept"},
    {"Accept: half a name", .fields = {"Accept: text"}, .status = 406, .detail = "Accept"},
    {"Accept: commas", .fields = {"Accept: ,, ;,"}, .status = 406, .detail = "Accept"},

    /* Tokens. */
    {"no token", .target = "/mine/ada", .status = 401,
     .detail = "This stream needs a token: send Authorization: Bearer",
     .expected = {"www-authenticate: Bearer realm=\"sluice\""}},
    {"an empty token", .target = "/mine/ada?token=&access_token=", .fields = {"Cookie: session="},
     .status = 401, .detail = "needs a token: send"},
    {"another cookie", .target = "/mine/ada", .fields = {"Cookie: sessions=x; SESSION=y"},
     .status = 401, .detail = "needs a token: send"},
    {"Basic", .target = "/mine/ada", .fields = {"Authorization: Basic YWRhOmFkYQ=="}, .status = 401,
     .detail = "the Authorization header is not 'Bearer' and one token",
     .expected = {INVALID "the Authorization header is not 'Bearer' and one token\""}},
    {"Bearer alone", .target = "/mine/ada", .fields = {"Authorization: Bearer"}, .status = 401,
     .detail = "not 'Bearer' and one token"},
    {"Bearer and two", .target = "/mine/ada", .fields = {"Authorization: Bearer a.b.c d.e.f"},
     .status = 401, .detail = "not 'Bearer' and one token"},
    {"Bearer and a quote", .target = "/mine/ada", .fields = {"Authorization: Bearer \"a\""},
     .status = 401, .detail = "not 'Bearer' and one token"},
    {"two parts", .target = "/mine/ada", .fields = {"Authorization: Bearer a.b"}, .status = 401,
     .detail = "the token is not three parts of base64url",
     .expected = {INVALID "the token is not three parts of base64url\""}},
    {"four parts", .target = "/mine/ada?token=a.b.c.d", .status = 401, .detail = "three parts"},
    {"% in a token", .target = "/mine/ada?token=%zz", .status = 401, .detail = "three parts"},
    {"no JSON", .target = "/mine/ada", .fields = {"Cookie: session=abc.abc.abc"}, .status = 401,
     .detail = "the token's header is not a JSON object"},
    {"long", .target = "/mine/ada", .fields = {long_token}, .status = 401,
     .detail = "the token is longer than 8192 bytes"},
    {"alg none", .target = "/mine/ada", .claims = CLAIMS(""), .token_head = "{\"alg\":\"none\"}",
     .status = 401, .detail = "the token's algorithm is not accepted"},
    {"alg of another", .target = "/mine/ada", .claims = CLAIMS(""),
     .token_head = "{\"alg\":\"HS512\"}", .status = 401,
     .detail = "the token's algorithm is not accepted"},
    {"alg of a public key", .target = "/mine/ada", .claims = CLAIMS(""),
     .token_head = "{\"alg\":\"RS256\"}", .status = 401,
     .detail = "the token's algorithm is not accepted"},
    {"no alg", .target = "/mine/ada", .claims = CLAIMS(""), .token_head = "{}", .status = 401,
     .detail = "the token's algorithm is not accepted"},
    {"crit", .target = "/mine/ada", .claims = CLAIMS(""),
     .token_head = "{\"alg\":\"HS256\",\"crit\":[\"x\"]}", .status = 401, .detail = "crit"},
    {"another's signature", .target = "/mine/ada", .claims = CLAIMS(""), .forged = true,
     .status = 401, .detail = "the token's signature does not fit any known key"},
    {"claims: no object", .target = "/mine/ada", .claims = "[]", .status = 401,
     .detail = "the token's claims are not a JSON object"},
    {"expired", .target = "/mine/ada", .claims = CLAIMS(",\"exp\":N"), .status = 401,
     .detail = "the token has expired", .expected = {INVALID "the token has expired\""}},
    {"expired, exp a text", .target = "/mine/ada", .claims = CLAIMS(",\"exp\":\"N\""),
     .status = 401, .detail = "the token's exp or nbf is not a number"},
    {"not yet valid", .target = "/mine/ada", .claims = CLAIMS(",\"nbf\":N000"), .status = 401,
     .detail = "the token is not valid yet"},
    {"another issuer", .target = "/mine/ada",
     .claims = "{\"iss\":\"there\",\"aud\":\"sluice\",\"sub\":\"ada\"}", .status = 401,
     .detail = "the token's issuer is not accepted"},
    {"no issuer", .target = "/mine/ada", .claims = "{\"aud\":\"sluice\",\"sub\":\"ada\"}",
     .status = 401, .detail = "the token's issuer is not accepted"},
    {"another audience", .target = "/mine/ada",
     .claims = "{\"iss\":\"here\",\"aud\":[\"x\"],\"sub\":\"ada\"}", .status = 401,
     .detail = "the token is for another audience"},
    {"no audience", .target = "/mine/ada", .claims = "{\"iss\":\"here\",\"sub\":\"ada\"}",
     .status = 401, .detail = "the token is for another audience"},
    {"another's stream", .target = "/mine/grace", .claims = CLAIMS(""), .status = 403,
     .detail = "The token does not give access to this stream.", .expected = {"www-authenticate:"}},
    {"a list of subjects", .target = "/mine/ada",
     .claims = "{\"iss\":\"here\",\"aud\":\"sluice\",\"sub\":{\"ada\":1}}", .status = 403,
     .detail = "does not give access"},
    {"closed", .target = "/closed", .status = 403,
     .detail = "This stream is closed: its configuration has no access rule."},
    {"closed, with a token", .target = "/closed", .claims = CLAIMS(""), .status = 403,
     .detail = "This stream is closed"},
    {"filter of a claim, no token", .target = "/claimed", .status = 401, .detail = "needs a token",
     .expected = {"www-authenticate: Bearer realm=\"sluice\""}},
    {"filter of a claim, no claim", .target = "/claimed", .claims = CLAIMS(""), .status = 403,
     .detail = "The token lacks a claim that this stream's filter needs."},
    {"filter of a claim, a bad token", .target = "/claimed",
     .claims = CLAIMS(",\"tenant\":\"t\",\"exp\":1"), .status = 401,
     .detail = "the token has expired"},

    /* Heads. */
    {"head: too large", .fields = {big}, .status = 431, .detail = "too large"},
    {"head: too many fields", .fields = {"X-Field: x"}, .repeat = 120, .status = 431, .detail = ""},
    {"head: no host", .raw = RAW("HTTP/1.1\r\n\r\n"), .status = 400,
     .detail = "There must be one host field."},
    {"head: two hosts", .raw = RAW("HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"), .status = 400,
     .detail = "one host"},
    {"head: another version", .raw = RAW("HTTP/1.2\r\nHost: a\r\n\r\n"), .status = 400,
     .detail = "HTTP/1.1 or HTTP/1.0"},
    {"head: no version", .raw = "GET /events\r\nHost: a\r\n\r\n", .status = 400,
     .detail = "HTTP/1.1 or HTTP/1.0"},
    {"head: a space in the target", .raw = RAW("x HTTP/1.1\r\nHost: a\r\n\r\n"), .status = 400,
     .detail = "HTTP/1.1"},
    {"head: a target that is no path", .raw = "GET events HTTP/1.1\r\nHost: a\r\n\r\n",
     .status = 400, .detail = "The request's target is not a path."},
    {"head: CONNECT", .raw = "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", .status = 400,
     .detail = "not a path"},
    {"head: UTF-8 in the target", .raw = "GET /\xC3\xA4 HTTP/1.1\r\nHost: a\r\n\r\n", .status = 400,
     .detail = "no valid target"},
    {"head: no colon", .raw = RAW("HTTP/1.1\r\nHost: a\r\nAccept\r\n\r\n"), .status = 400,
     .detail = "A header field's name is malformed."},
    {"head: a space before the colon", .raw = RAW("HTTP/1.1\r\nHost : a\r\n\r\n"), .status = 400,
     .detail = "name is malformed"},
    {"head: a fold", .raw = RAW("HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n"), .status = 400,
     .detail = "name is malformed"},
    {"head: a control character", .raw = RAW("HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n"),
     .status = 400, .detail = "control character"},
    {"head: chunks and a length",
     .raw = "POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
	    "Content-Length: 5\r\n\r\n0\r\n\r\n",
     .status = 400, .detail = "a transfer-encoding and a content-length"},
    {"head: another coding",
     .raw = "POST /events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", .status = 400,
     .detail = "chunked"},
    {"head: two lengths",
     .raw = "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
     .status = 400, .detail = "two different content-lengths"},
    {"head: a negative length",
     .raw = "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", .status = 400,
     .detail = "not a number"},
    {"head: a large body",
     .raw = "POST /events HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n", .status = 413,
     .detail = "too large"},

    /* Other origins. */
    {"CORS: preflight", .method = "OPTIONS",
     .fields = {"Origin: https://app.example.org", "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: last-event-id"},
     .status = 204,
     .expected = {"access-control-allow-origin: https://app.example.org",
		  "access-control-allow-credentials: true",
		  "access-control-allow-methods: GET, HEAD, OPTIONS",
		  "access-control-allow-headers: authorization, last-event-id, cache-control, "
		  "content-type",
		  "vary: origin"}},
    {"CORS: preflight of what takes filters", .method = "OPTIONS", .target = "/narrowed",
     .fields = {"Origin: https://app.example.org", "Access-Control-Request-Method: QUERY",
		"Access-Control-Request-Headers: content-type"},
     .status = 204,
     .expected = {"access-control-allow-methods: GET, HEAD, OPTIONS, POST, QUERY",
		  "access-control-allow-headers: authorization, last-event-id, cache-control, "
		  "content-type",
		  "accept-query: application/json", "accept-post: application/json", ALLOW_FILTER}},
    {"CORS: preflight of what needs a token", .method = "OPTIONS", .target = "/mine/ada",
     .fields = {"Origin: https://app.example.org", "Access-Control-Request-Method: GET"},
     .status = 204,
     .expected = {"access-control-allow-origin: https://app.example.org",
		  "access-control-max-age: 7200", "www-authenticate:"}},
    {"CORS: OPTIONS alone", .method = "OPTIONS", .status = 204,
     .expected = {ALLOW_GET, "access-control-allow-origin:", "access-control-allow-methods:"}},
    {"CORS: OPTIONS of no stream", .method = "OPTIONS", .target = "/nope",
     .fields = {"Origin: https://app.example.org", "Access-Control-Request-Method: GET"},
     .status = 404},
    {"CORS: another origin's preflight", .method = "OPTIONS",
     .fields = {"Origin: https://evil.example.org", "Access-Control-Request-Method: GET"},
     .status = 204,
     .expected = {"access-control-allow-origin:", "access-control-allow-credentials:",
		  "vary: origin"}},
    {"CORS: a longer origin", .method = "OPTIONS",
     .fields = {"Origin: https://app.example.org.evil.com", "Access-Control-Request-Method: GET"},
     .status = 204, .expected = {"access-control-allow-origin:"}},
    {"CORS: another scheme", .method = "OPTIONS",
     .fields = {"Origin: http://app.example.org", "Access-Control-Request-Method: GET"},
     .status = 204, .expected = {"access-control-allow-origin:"}},
    {"CORS: another port", .method = "OPTIONS",
     .fields = {"Origin: https://app.example.org:8443", "Access-Control-Request-Method: GET"},
     .status = 204, .expected = {"access-control-allow-origin:"}},
    {"CORS: null", .method = "OPTIONS",
     .fields = {"Origin: null", "Access-Control-Request-Method: GET"}, .status = 204,
     .expected = {"access-control-allow-origin:"}},
    {"CORS: an error is readable", .target = "/mine/ada",
     .fields = {"Origin: https://app.example.org"}, .status = 401, .detail = "needs a token",
     .expected = {"access-control-allow-origin: https://app.example.org",
		  "access-control-allow-credentials: true", "vary: origin"}},
    {"CORS: another origin's error", .target = "/mine/ada",
     .fields = {"Origin: https://evil.example.org"}, .status = 401,
     .expected = {"access-control-allow-origin:", "vary: origin"}},
    {"CORS: HEAD", .method = "HEAD", .fields = {"Origin: https://app.example.org"}, .status = 200,
     .expected = {"access-control-allow-origin: https://app.example.org", "vary: origin"}},
};

static struct kafka_broker broker;
static struct gateway_process gateway;
static struct signer signer;
static uint8_t own_hash[8], foreign_hash[8];

static void fill(char *text, size_t bytes, const char *start)
{
	memset(text, 'A', bytes - 1);
	memcpy(text, start, strlen(start));
}

/* The hash in the ids of a stream, from the gateway itself. */
static void learn_hash(struct sse_client_loop *loop, const char *path, uint8_t hash[8])
{
	struct watch watch = {0};
	uint8_t id[64];

	if (!watch_open_connected(&watch, loop, gateway.url, path, NULL) ||
	    strlen(watch.events[0].id) > sizeof(id) ||
	    base64url_decode(slice_of(watch.events[0].id), id))
		child_die("%s has no id", path);
	memcpy(hash, id + 2, 8);
	watch_close(&watch);
}

static int start(void **state)
{
	struct sse_client_loop *loop;
	char path[CHILD_PATH_BYTES + 16], secret[sizeof(signer.secret) + 1] = "";

	(void)state;
	fill(big, sizeof(big), "X-Big: ");
	fill(long_id, sizeof(long_id), "");
	fill(long_custom_id, sizeof(long_custom_id), "");
	fill(long_token, sizeof(long_token), "Authorization: Bearer ");
	signer = signer_new_secret();
	memcpy(secret, signer.secret, sizeof(signer.secret));
	kafka_broker_start(&broker);
	kafka_broker_create_topic(&broker, "events", 1);
	gateway_process_init(&gateway);
	snprintf(path, sizeof(path), "%s/secret", gateway.folder);
	child_write_file(path, secret);
	setenv("BAD_INPUT_KAFKA", broker.bootstrap, 1);
	setenv("BAD_INPUT_FOLDER", gateway.folder, 1);
	gateway_process_configure(&gateway, config);
	gateway_process_start(&gateway);
	gateway_process_wait_ready(&gateway, 20000);
	loop = sse_client_loop_new();
	learn_hash(loop, "/events", own_hash);
	learn_hash(loop, "/others", foreign_hash);
	sse_client_loop_free(loop);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	gateway_process_fini(&gateway);
	kafka_broker_fini(&broker);
	return 0;
}

static void append_id(const char *recipe, struct buffer *out)
{
	struct buffer raw = {0};
	size_t len;

	for (const char *at = recipe; *at; at++) {
		unsigned byte;

		if (*at == 'H' || *at == 'F') {
			buffer_append(&raw, *at == 'H' ? own_hash : foreign_hash, 8);
		} else if (*at != ' ') {
			sscanf(at++, "%2x", &byte);
			buffer_append(&raw, &(uint8_t){(uint8_t)byte}, 1);
		}
	}
	len = base64url_encoded_len(raw.len);
	base64url_encode((const uint8_t *)raw.base, raw.len, buffer_reserve(out, len));
	out->len += len;
	buffer_free(&raw);
}

static void append_token(const struct row *row, struct buffer *out)
{
	const char *head = row->token_head ? row->token_head : "{\"alg\":\"HS256\"}";
	struct signer by = signer;
	struct buffer claims = {0};
	char *token;

	for (const char *at = row->claims; *at; at++) {
		if (*at == 'N')
			buffer_append_format(&claims, "%lld", (long long)time(NULL));
		else
			buffer_append(&claims, at, 1);
	}
	if (row->forged)
		by.secret[0] ^= 1;
	token = signer_sign(&by, "HS256", head, buffer_text(&claims));
	buffer_append_text(out, token);
	free(token);
	buffer_free(&claims);
}

/* Rows go on after one that is wrong. */
static size_t faults;

__attribute__((format(printf, 2, 3))) static void fault(const char *asked, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "%s: ", asked);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	faults++;
}

static void check_field(const char *asked, const struct http_client_answer *answer,
			const char *expected)
{
	const char *colon = strchr(expected, ':');
	struct slice wanted = colon[1] ? slice_of(colon + 2) : (struct slice){0};
	struct slice value;
	char name[64];

	snprintf(name, sizeof(name), "%.*s", (int)(colon - expected), expected);
	value = http_client_header(answer, name);
	if (!value.base != !colon[1] || !slice_equal(value, wanted))
		fault(asked, "wanted \"%s\", but got \"%.*s\"", expected, (int)value.len,
		      value.base ? value.base : "");
}

static void check_problem(const char *asked, const struct row *row,
			  const struct http_client_answer *answer)
{
	const char *type, *title, *detail;
	int status;
	json_t *problem = json_loadb(answer->body.base, answer->body.len, 0, NULL);

	if (json_unpack(problem, "{s:s, s:s, s:s, s:i}", "type", &type, "title", &title, "detail",
			&detail, "status", &status))
		fault(asked, "no problem: %s", answer->body.base);
	else if (strcmp(type, "about:blank") != 0 || !*title || status != row->status)
		fault(asked, "an incomplete problem: %s", answer->body.base);
	else if (row->detail && !strstr(detail, row->detail))
		fault(asked, "wanted \"%s\", but got \"%s\"", row->detail, detail);
	json_decref(problem);
}

static void check_answer(const char *asked, const struct row *row,
			 const struct http_client_answer *answer)
{
	bool is_head = row->method && strcmp(row->method, "HEAD") == 0;

	if (answer->status != row->status) {
		fault(asked, "wanted %d, but got %ld %s %s", row->status, answer->status,
		      answer->error, answer->body.base);
		return;
	}
	for (size_t i = 0; i < EXPECTED && row->expected[i]; i++)
		check_field(asked, answer, row->expected[i]);
	if (row->status >= 400)
		check_field(asked, answer, "content-type: application/problem+json");
	/* A head that is refused reaches no handler, and is answered with the problem alone. */
	if (row->status >= 400 && strncmp(row->name, "head", 4) != 0)
		check_field(asked, answer, "cache-control: no-store");
	if (row->status >= 400 && !is_head)
		check_problem(asked, row, answer);
	else if (answer->body.len)
		fault(asked, "a body: %s", answer->body.base);
}

/* One request of the row, with one more field or with something more in the query. */
static void ask(const struct row *row, bool http2, const char *field, const char *query)
{
	const char *target = row->target ? row->target : "/events";
	const char *fields[FIELDS + 1 + 128];
	struct http_client_answer answer;
	struct buffer url = {0};
	char asked[128];
	size_t count = 0;

	for (; count < FIELDS && row->fields[count]; count++)
		fields[count] = row->fields[count];
	for (unsigned i = 0; i < row->repeat; i++)
		fields[count++] = row->fields[0];
	if (field)
		fields[count++] = field;
	buffer_append_format(&url, "%s%s", gateway.url, target);
	if (query)
		buffer_append_format(&url, "%c%s", strchr(target, '?') ? '&' : '?', query);
	snprintf(asked, sizeof(asked), "%s: %s%s", http2 ? "HTTP/2" : "HTTP/1.1", row->name,
		 query ? ", in the query" : "");
	http_client_send(&(struct http_client_request){.method = row->method,
						       .url = buffer_text(&url),
						       .headers = fields,
						       .header_count = count,
						       .body = row->body,
						       .http2 = http2},
			 &answer);
	check_answer(asked, row, &answer);
	http_client_answer_fini(&answer);
	buffer_free(&url);
}

/* What can stand in the request at several places is sent at each of them. */
static void ask_at(const struct row *row, bool http2, struct slice what,
		   const char *const *field_formats, const char *const *query_names)
{
	struct buffer text = {0};

	for (; *field_formats; field_formats++) {
		buffer_clear(&text);
		buffer_append_text(&text, *field_formats);
		buffer_append_slice(&text, what);
		ask(row, http2, buffer_text(&text), NULL);
	}
	for (; *query_names; query_names++) {
		buffer_clear(&text);
		buffer_append_format(&text, "%s=", *query_names);
		/* Of all that ids and tokens are made of, "+" alone means something else in a
		 * query. */
		for (size_t i = 0; i < what.len; i++) {
			if (what.base[i] == '+')
				buffer_append_text(&text, "%2B");
			else
				buffer_append(&text, &what.base[i], 1);
		}
		ask(row, http2, NULL, buffer_text(&text));
	}
	buffer_free(&text);
}

static void ask_with_id(const struct row *row, bool http2)
{
	static const char *const fields[] = {"Last-Event-ID: ", NULL};
	static const char *const names[] = {"lastEventId", "last_event_id", NULL};
	struct buffer id = {0};

	if (row->id)
		append_id(row->id, &id);
	else
		buffer_append_text(&id, row->text_id);
	ask_at(row, http2, buffer_slice(&id), fields, names);
	buffer_free(&id);
}

static void ask_with_token(const struct row *row, bool http2)
{
	static const char *const fields[] = {"Authorization: Bearer ",
					     "Cookie: a=b; session=", NULL};
	static const char *const names[] = {"token", "access_token", NULL};
	struct buffer token = {0};

	append_token(row, &token);
	ask_at(row, http2, buffer_slice(&token), fields, names);
	buffer_free(&token);
}

/* Status, head and body out of what came until the connection's end. */
static void parse_answer(struct buffer *input, struct http_client_answer *answer)
{
	const char *text = buffer_text(input);
	const char *end = strstr(text, "\r\n\r\n");

	*answer = (struct http_client_answer){0};
	sscanf(text, "HTTP/1.1 %ld", &answer->status);
	if (end) {
		buffer_append(&answer->head, text, (size_t)(end - text) + 2);
		buffer_append_text(&answer->body, end + 4);
	}
	buffer_text(&answer->head);
	buffer_text(&answer->body);
}

static void ask_raw(const struct row *row)
{
	struct client client = client_open(gateway.ports[0]);
	struct http_client_answer answer;

	client_say(&client, row->raw);
	while (client_read(&client))
		;
	parse_answer(&client.input, &answer);
	check_answer(row->name, row, &answer);
	http_client_answer_fini(&answer);
	client_close(&client);
}

static void ask_all(const struct row *row, bool http2)
{
	if (row->id || row->text_id)
		ask_with_id(row, http2);
	else if (row->claims)
		ask_with_token(row, http2);
	else if (!row->raw)
		ask(row, http2, NULL, NULL);
	else if (!http2)
		ask_raw(row);
}

/* Each row gets its answer, over both versions of HTTP, and at each place where it can stand; no
 * stream opens, nothing fails inside. */
static void test_bad_input_is_answered_with_what_is_wrong(void **state)
{
	static const char opened[] = "sluice_subscriptions_total";
	static const char failed[] = "sluice_http_responses_total{class=\"5xx\"}";
	double opened_before = gateway_process_metric(&gateway, opened);
	double failed_before = gateway_process_metric(&gateway, failed);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_all(&rows[i], false);
		ask_all(&rows[i], true);
	}
	assert_int_equal(faults, 0);
	assert_true(gateway_process_metric(&gateway, opened) <= opened_before);
	assert_true(gateway_process_metric(&gateway, failed) <= failed_before);
	assert_true(child_running(&gateway.child));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bad_input_is_answered_with_what_is_wrong),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
