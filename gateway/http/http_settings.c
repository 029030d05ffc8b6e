#include "http/http_settings.h"

#include <arpa/inet.h>
#include <string.h>

#define LISTENER(member) CONFIG_FIELD(struct http_listener_settings, member)
#define HTTP(member)     CONFIG_FIELD(struct http_settings, member)

static const struct setting tls_rows[] = {
    {.name = "certificate_file",
     .type = SETTING_PATH,
     LISTENER(certificate_file),
     .required = true,
     .doc = "The certificate and its chain, PEM."},
    {.name = "key_file",
     .type = SETTING_PATH,
     LISTENER(key_file),
     .required = true,
     .doc = "The certificate's private key, PEM."},
};

static const struct config_table tls_table = {
    CONFIG_ROWS(tls_rows),
    .bytes = sizeof(struct http_listener_settings),
};

static bool serve(struct http_listener_settings *listener, const char *what)
{
	struct {
		const char *name;
		bool *serves;
	} parts[] = {{"streams", &listener->streams},
		     {"page", &listener->page},
		     {"admin", &listener->admin}};

	for (size_t i = 0; what && i < sizeof(parts) / sizeof(parts[0]); i++) {
		if (!strcmp(parts[i].name, what) && !*parts[i].serves)
			return *parts[i].serves = true;
	}
	return false;
}

static void read_serve(const struct config_at *at, const json_t *value, void *target)
{
	static const char wanted[] = "an array of \"streams\", \"page\", \"admin\", each once";
	const json_t *part;
	size_t i;

	if (!json_array_size(value))
		config_refuse_value(at, value, wanted);
	json_array_foreach(value, i, part)
	{
		struct config_at place = config_element(at, i);

		if (!serve(target, json_string_value(part)))
			config_refuse_value(&place, part,
					    "one of \"streams\", \"page\", \"admin\", each once");
	}
}

static void check_address(const struct config_at *at, void *target)
{
	const struct http_listener_settings *listener = target;
	struct in6_addr address;

	if (listener->address && inet_pton(AF_INET, listener->address, &address) != 1 &&
	    inet_pton(AF_INET6, listener->address, &address) != 1)
		config_refuse(at, NULL,
			      "must be a numeric address: \"0.0.0.0\", \"127.0.0.1\", \"::\"");
}

static const struct setting listener_rows[] = {
    {.name = "address",
     .type = SETTING_STRING,
     LISTENER(address),
     .min = 1,
     .fallback = "0.0.0.0",
     .check = check_address,
     .doc = "The numeric IPv4 or IPv6 address; :: is both."},
    {.name = "port",
     .type = SETTING_INTEGER,
     LISTENER(port),
     .fallback = "8080",
     .doc = "The TCP port; 0: any free one, named in the log."},
    {.name = "tls",
     .type = SETTING_OBJECT,
     .table = &tls_table,
     .doc = "TLS, with HTTP/2 by ALPN; without it clear text, with HTTP/2 by prior knowledge."},
    {.name = "serve",
     .type = SETTING_CUSTOM,
     .fallback = "[\"streams\", \"page\", \"admin\"]",
     .read = read_serve,
     .wanted = "an array of \"streams\", \"page\", \"admin\", each once",
     .schema =
	 "{\"type\": \"array\", \"minItems\": 1, \"uniqueItems\": true, \"items\": {\"anyOf\":"
	 " [{\"enum\": [\"streams\", \"page\", \"admin\"]},"
	 " {\"$ref\": \"#/$defs/environment\"}]}}",
     .doc = "What is served here: the streams, the page at /, and /healthz, /readyz, /metrics."},
};

const struct config_table http_settings_listener_table = {
    CONFIG_ROWS(listener_rows),
    .bytes = sizeof(struct http_listener_settings),
};

static bool is_taken(const struct http_listener_settings *listeners, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (listeners[i].address && listeners[j].address && listeners[i].port &&
		    listeners[i].port == listeners[j].port &&
		    !strcmp(listeners[i].address, listeners[j].address))
			return true;
	return false;
}

void http_settings_check_listeners(const struct config_at *at, const struct http_settings *http)
{
	for (size_t i = 0; i < http->listener_count; i++) {
		struct config_at place = config_element(at, i);

		if (is_taken(http->listeners, i))
			config_refuse(&place, NULL,
				      "has the address and port of a listener before it");
	}
}

static const struct setting http_rows[] = {
    {.name = "loops",
     .type = SETTING_INTEGER,
     HTTP(loops),
     .max = 256,
     .fallback = "0",
     .doc = "Threads that serve connections; 0: one for each core."},
    {.name = "max_connections",
     .type = SETTING_INTEGER,
     HTTP(max_connections),
     .min = 1,
     .max = 10000000,
     .fallback = "100000",
     .doc = "Connections at once; more are closed at once."},
    {.name = "max_streams_per_connection",
     .type = SETTING_INTEGER,
     HTTP(max_streams_per_connection),
     .min = 1,
     .max = 1000000,
     .fallback = "1000",
     .doc = "Requests at once on one HTTP/2 connection."},
    {.name = "max_head",
     .type = SETTING_SIZE,
     HTTP(max_head_bytes),
     .min = 1 << 10,
     .max = 256 << 10,
     .fallback = "64KiB",
     .doc = "The largest head of a request; more is answered 431."},
    {.name = "head_timeout",
     .type = SETTING_DURATION,
     HTTP(head_timeout_ms),
     .min = 100,
     .max = 600000,
     .fallback = "10s",
     .doc = "How long a TLS handshake and the head of a request may take together; then the body."},
    {.name = "idle_timeout",
     .type = SETTING_DURATION,
     HTTP(idle_timeout_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "60s",
     .doc = "How long an HTTP/2 connection without requests stays open."},
    {.name = "slow_client_timeout",
     .type = SETTING_DURATION,
     HTTP(slow_client_timeout_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "30s",
     .doc = "How long a client may take none of what waits for it."},
    {.name = "drain",
     .type = SETTING_DURATION,
     HTTP(drain_ms),
     .max = 600000,
     .fallback = "10s",
     .doc = "How long a stop may take; clients that are sent away, by a timeout too, are told to "
	    "come back within it."},
};

const struct config_table http_settings_table = {
    CONFIG_ROWS(http_rows),
    .bytes = sizeof(struct http_settings),
};

/* As a browser writes it (RFC 6454, 6.2): scheme://host or scheme://host:port. */
static bool is_origin(const char *text)
{
	const char *host = strstr(text, "://");

	return host && host > text && host[3] && !strpbrk(host + 3, "/?#@* ") &&
	       !strpbrk(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
}

static void check_origins(const struct config_at *at, void *target)
{
	const struct http_settings *http = target;

	for (size_t i = 0; i < http->cors_origin_count; i++) {
		struct config_at place = config_element(at, i);
		const char *origin = http->cors_origins[i];

		if (!strcmp(origin, "*") && http->cors_origin_count > 1)
			config_refuse(&place, NULL, "\"*\" stands alone, for all origins");
		else if (*origin && strcmp(origin, "*") && !is_origin(origin))
			config_refuse(&place, NULL,
				      "is no origin as browsers send it: write "
				      "\"https://example.org\", in lower case and without a path");
	}
}

static void check_credentials(const struct config_at *at, void *target)
{
	const struct http_settings *http = target;

	if (http->cors_credentials && http->cors_origin_count == 1 &&
	    !strcmp(http->cors_origins[0], "*"))
		config_refuse(at, NULL,
			      "must not be true for the origin \"*\": name the origins that may "
			      "send cookies");
}

static const struct setting cors_rows[] = {
    {.name = "origins",
     .type = SETTING_STRINGS,
     HTTP(cors_origins),
     CONFIG_COUNT(struct http_settings, cors_origin_count),
     .check = check_origins,
     .doc = "The origins whose pages may subscribe, such as https://example.org; * alone: all."},
    {.name = "credentials",
     .type = SETTING_BOOL,
     HTTP(cors_credentials),
     .fallback = "false",
     .check = check_credentials,
     .doc = "Whether they may send cookies."},
};

const struct config_table http_settings_cors_table = {
    CONFIG_ROWS(cors_rows),
    .bytes = sizeof(struct http_settings),
};
