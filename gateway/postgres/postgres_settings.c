#include "postgres/postgres_settings.h"

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/config.h"
#include "postgres/postgres_settings_priv.h"

#define POSTGRES(member) CONFIG_FIELD(struct postgres_settings, member)

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
	for (; options->keyword; options++)
		if (!strcmp(options->keyword, keyword))
			return options->val ? options->val : "";
	return "";
}

/* What of the password stands in `host` or `port` would be in the errors of a connection. */
static const char *check_options(const PQconninfoOption *options, unsigned *hosts)
{
	const char *host = value_of(options, "host"), *port = value_of(options, "port");

	if (!*host)
		host = value_of(options, "hostaddr");
	if (strchr(host, '@') || port[strspn(port, "0123456789,")])
		return "is not read as it is meant: percent-encode the characters / : @ # ? of "
		       "the user's name and the password, or give \"password\"";
	for (*hosts = 1; (host = strchr(host, ',')); host++)
		++*hosts;
	return NULL;
}

const char *postgres_settings_check_url(const char *url, unsigned *hosts)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	unsigned count;
	const char *why;

	if (!options)
		return "is no connection string as libpq reads it: write "
		       "\"postgresql://user@host/database\" or \"host=… dbname=…\"";
	why = check_options(options, &count);
	if (!why && hosts)
		*hosts = count;
	PQconninfoFree(options);
	return why;
}

/* "${NAME:-}" is how a configuration leaves PostgreSQL to the environment. */
static void drop_empty(char **text)
{
	if (*text && !**text) {
		free(*text);
		*text = NULL;
	}
}

static void check_url(const struct config_at *at, void *target)
{
	struct postgres_settings *settings = target;
	const char *why;

	drop_empty(&settings->url);
	why = settings->url ? postgres_settings_check_url(settings->url, NULL) : NULL;
	if (why)
		config_refuse(at, NULL, "%s", why);
}

static void check_password(const struct config_at *at, void *target)
{
	(void)at;
	drop_empty(&((struct postgres_settings *)target)->password);
}

static const struct setting rows[] = {
    {.name = "url",
     .type = SETTING_STRING,
     POSTGRES(url),
     .secret = true,
     .check = check_url,
     .doc = "Where PostgreSQL is: a connection string or URI of libpq; TLS and all else as it "
	    "says. Without it, or empty: no PostgreSQL."},
    {.name = "password",
     .type = SETTING_STRING,
     POSTGRES(password),
     .secret = true,
     .check = check_password,
     .doc = "The password, where the url has none."},
    {.name = "connect_timeout",
     .type = SETTING_DURATION,
     POSTGRES(connect_timeout_ms),
     .min = 100,
     .max = 600000,
     .fallback = "5s",
     .doc = "How long one try to connect to one host may take."},
    {.name = "statement_timeout",
     .type = SETTING_DURATION,
     POSTGRES(statement_timeout_ms),
     .min = 100,
     .max = 3600000,
     .fallback = "10s",
     .doc = "How long one statement may take."},
    {.name = "migrate",
     .type = SETTING_BOOL,
     POSTGRES(migrate),
     .fallback = "false",
     .doc = "Whether the gateway does at its start what \"sluice migrate\" does."},
};

const struct config_table postgres_settings_table = {
    CONFIG_ROWS(rows),
    .bytes = sizeof(struct postgres_settings),
};
