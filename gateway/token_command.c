#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/opaque_token.h"
#include "base/clock.h"
#include "commands.h"
#include "database_command.h"
#include "postgres/tokens.h"
#include "settings.h"

static const char usage[] =
    "usage: sluice token create --config FILE --subject S [--claims JSON] [--expires 30d]\n"
    "       sluice token list --config FILE [--subject S] [--json]\n"
    "       sluice token revoke --config FILE --id N\n"
    "       sluice token revoke --config FILE (--jti J | --subject S) [--expires 30d]\n";

struct action;

struct arguments {
	struct database_command command; /* first */
	const struct action *action;
	const char *subject, *claims, *expires, *id, *jti;
	bool json;
};

/* Values. */

#define MAX_SECONDS (36500 * INT64_C(86400)) /* 100 years */

static bool check_name(const struct arguments *arguments, const char *option, const char *text)
{
	return database_command_check_text(&arguments->command, option, text,
					   TOKENS_MAX_NAME_CHARS);
}

/* "30d" from now; NULL: never. */
static bool read_expires(const struct arguments *arguments, int64_t *expires_us)
{
	static const struct {
		char name;
		int64_t seconds;
	} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
	const char *text = arguments->expires;
	char *end;
	long number;

	*expires_us = TOKENS_NEVER;
	if (!text)
		return true;
	number = strtol(text, &end, 10);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (*text < '0' || *text > '9' || number < 1 ||
		    number > MAX_SECONDS / units[i].seconds || *end != units[i].name || end[1])
			continue;
		*expires_us = 1000 * clock_unix_ms() + number * units[i].seconds * 1000000;
		return true;
	}
	database_command_fail(
	    &arguments->command,
	    "--expires is \"%s\", but must be a time from now such as 90s, 15m, 12h, 30d", text);
	return false;
}

/* What a claim of this name would have to say is said elsewhere. */
static const struct {
	const char *name, *instead;
} unfit_claims[] = {
    {"sub", "give it by --subject"},           {"exp", "give it by --expires"},
    {"iat", "it is the time of the creation"}, {"nbf", "a token is valid at once"},
    {"jti", "it is revoked by --id"},
};

static bool check_claims(const struct arguments *arguments)
{
	json_error_t error;
	json_t *claims = json_loads(arguments->claims, JSON_REJECT_DUPLICATES, &error);
	bool fits = json_is_object(claims);

	if (!claims)
		database_command_fail(
		    &arguments->command,
		    "--claims, line %d, column %d: %s; it must be a JSON object such as "
		    "'{\"role\": \"admin\"}'",
		    error.line, error.column, error.text);
	else if (!fits)
		database_command_fail(
		    &arguments->command,
		    "--claims must be a JSON object such as '{\"role\": \"admin\"}'");
	for (size_t i = 0; fits && i < sizeof(unfit_claims) / sizeof(unfit_claims[0]); i++) {
		if (!json_object_get(claims, unfit_claims[i].name))
			continue;
		fits = false;
		database_command_fail(&arguments->command, "--claims must not have \"%s\": %s",
				      unfit_claims[i].name, unfit_claims[i].instead);
	}
	json_decref(claims);
	if (fits && strlen(arguments->claims) > TOKENS_MAX_CLAIMS_BYTES) {
		database_command_fail(&arguments->command, "--claims must have at most %d bytes",
				      TOKENS_MAX_CLAIMS_BYTES);
		fits = false;
	}
	return fits;
}

/* create */

static int print_token(const struct arguments *arguments, const char *token, int64_t id)
{
	if (puts(token) == EOF || fflush(stdout))
		return database_command_fail(
		    &arguments->command,
		    "the token could not be written (%s) and is lost: revoke it by --id %lld",
		    strerror(errno), (long long)id);
	fprintf(stderr, "This is token %lld of \"%s\". It is not shown again.\n", (long long)id,
		arguments->subject);
	return EXIT_SUCCESS;
}

static int create(const struct arguments *arguments, struct database *database)
{
	const char *claims = arguments->claims ? arguments->claims : "{}";
	uint8_t digest[OPAQUE_TOKEN_DIGEST_BYTES];
	char token[OPAQUE_TOKEN_CHARS + 1];
	struct tokens_new row = {
	    .sha256 = {(const char *)digest, sizeof(digest)},
	    .subject = slice_of(arguments->subject),
	    .claims = slice_of(claims),
	};
	int64_t id;
	int rc;

	if (!check_name(arguments, "--subject", arguments->subject) ||
	    !read_expires(arguments, &row.expires_us) ||
	    (arguments->claims && !check_claims(arguments)))
		return EXIT_FAILURE;
	opaque_token_make(token);
	opaque_token_digest(slice_of(token), digest);
	rc = tokens_create(database, &row, &id);
	return rc ? database_command_fail_rc(&arguments->command, database, rc)
		  : print_token(arguments, token, id);
}

/* list */

static void append_time(struct buffer *out, int64_t us)
{
	char text[25];

	if (us == TOKENS_NEVER) {
		buffer_append_text(out, "null");
		return;
	}
	clock_format_rfc3339(us / 1000, text);
	buffer_append_format(out, "\"%s\"", text);
}

static void print_json(void *context, const struct tokens_row *row)
{
	struct buffer out = {0};
	bool *first = context;

	buffer_append_format(&out, "%s\n{\"id\":%lld,\"subject\":", *first ? "" : ",",
			     (long long)row->id);
	*first = false;
	buffer_append_json_string(&out, row->subject);
	buffer_append_text(&out, ",\"claims\":");
	buffer_append_slice(&out, row->claims.base ? row->claims : SLICE_LIT("null"));
	buffer_append_text(&out, ",\"created\":");
	append_time(&out, row->created_us);
	buffer_append_text(&out, ",\"expires\":");
	append_time(&out, row->expires_us);
	buffer_append_text(&out, ",\"revoked\":");
	append_time(&out, row->revoked_us);
	buffer_append_text(&out, "}");
	fputs(buffer_text(&out), stdout);
	buffer_free(&out);
}

static const char *state_of(const struct tokens_row *row)
{
	if (row->revoked_us != TOKENS_NEVER)
		return "revoked";
	return row->expires_us <= 1000 * clock_unix_ms() ? "expired" : "valid";
}

static void print_line(void *context, const struct tokens_row *row)
{
	char created[25], expires[25] = "never";
	struct buffer subject = {0};

	(void)context;
	clock_format_rfc3339(row->created_us / 1000, created);
	if (row->expires_us != TOKENS_NEVER)
		clock_format_rfc3339(row->expires_us / 1000, expires);
	/* What a terminal would take for a command is escaped. */
	buffer_append_json_string(&subject, row->subject);
	printf("%8lld  %-7s  %-24s  %-24s  %s\n", (long long)row->id, state_of(row), created,
	       expires, buffer_text(&subject));
	buffer_free(&subject);
}

static int list(const struct arguments *arguments, struct database *database)
{
	const struct slice subject =
	    arguments->subject ? slice_of(arguments->subject) : (struct slice){NULL, 0};
	bool first = true;
	int rc;

	if (arguments->json)
		fputs("[", stdout);
	else
		printf("%8s  %-7s  %-24s  %-24s  %s\n", "id", "state", "created", "expires",
		       "subject");
	rc = tokens_list(database, subject, arguments->json ? print_json : print_line, &first);
	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	if (arguments->json)
		puts("\n]");
	return EXIT_SUCCESS;
}

/* revoke */

static int revoke_id(const struct arguments *arguments, struct database *database)
{
	char *end;
	long long id = strtoll(arguments->id, &end, 10);
	int rc;

	if (end == arguments->id || *end)
		return database_command_fail(
		    &arguments->command,
		    "--id is \"%s\", but must be a number of sluice token list", arguments->id);
	rc = tokens_revoke(database, id);
	if (rc == ERROR_NOT_FOUND)
		return database_command_fail(&arguments->command,
					     "there is no token %lld: sluice token list shows them",
					     id);
	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	printf("token %lld is revoked\n", id);
	return EXIT_SUCCESS;
}

static int revoke_subject(const struct arguments *arguments, struct database *database,
			  int64_t expires_us)
{
	uint64_t tokens;
	int rc = tokens_revoke_subject(database, slice_of(arguments->subject), expires_us, &tokens);

	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	printf("all that was issued to \"%s\" until now is revoked, %llu opaque tokens among it\n",
	       arguments->subject, (unsigned long long)tokens);
	return EXIT_SUCCESS;
}

static int revoke_jti(const struct arguments *arguments, struct database *database,
		      int64_t expires_us)
{
	int rc = tokens_revoke_jti(database, slice_of(arguments->jti), expires_us);

	if (rc)
		return database_command_fail_rc(&arguments->command, database, rc);
	printf("JWT \"%s\" is revoked\n", arguments->jti);
	return EXIT_SUCCESS;
}

static int revoke(const struct arguments *arguments, struct database *database)
{
	const char *name = arguments->jti ? arguments->jti : arguments->subject;
	int64_t expires_us;

	if (arguments->id)
		return revoke_id(arguments, database);
	if (!check_name(arguments, arguments->jti ? "--jti" : "--subject", name) ||
	    !read_expires(arguments, &expires_us))
		return EXIT_FAILURE;
	return arguments->jti ? revoke_jti(arguments, database, expires_us)
			      : revoke_subject(arguments, database, expires_us);
}

/* Arguments. */

static bool fits_create(const struct arguments *arguments)
{
	return arguments->subject && !arguments->id && !arguments->jti && !arguments->json;
}

static bool fits_list(const struct arguments *arguments)
{
	return !arguments->claims && !arguments->expires && !arguments->id && !arguments->jti;
}

static bool fits_revoke(const struct arguments *arguments)
{
	return !arguments->claims && !arguments->json && !(arguments->id && arguments->expires) &&
	       !!arguments->id + !!arguments->jti + !!arguments->subject == 1;
}

static const struct action {
	const char *name;
	bool (*fits)(const struct arguments *arguments);
	int (*act)(const struct arguments *arguments, struct database *database);
} actions[] = {
    {"create", fits_create, create},
    {"list", fits_list, list},
    {"revoke", fits_revoke, revoke},
};

static const struct action *find_action(const char *name)
{
	for (size_t i = 0; name && i < sizeof(actions) / sizeof(actions[0]); i++)
		if (!strcmp(name, actions[i].name))
			return &actions[i];
	return NULL;
}

/* argv[0] is the action. */
static bool parse(int argc, char **argv, struct arguments *arguments)
{
	enum { CONFIG = 'c', SUBJECT = 256, CLAIMS, EXPIRES, ID, JTI, JSON };
	static const struct option options[] = {
	    {"config", required_argument, NULL, CONFIG},
	    {"subject", required_argument, NULL, SUBJECT},
	    {"claims", required_argument, NULL, CLAIMS},
	    {"expires", required_argument, NULL, EXPIRES},
	    {"id", required_argument, NULL, ID},
	    {"jti", required_argument, NULL, JTI},
	    {"json", no_argument, NULL, JSON},
	    {NULL, 0, NULL, 0},
	};
	const char **const values[] = {&arguments->subject, &arguments->claims, &arguments->expires,
				       &arguments->id, &arguments->jti};
	int option;

	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == '?')
			return false;
		if (option == CONFIG)
			arguments->command.config = optarg;
		else if (option == JSON)
			arguments->json = true;
		else
			*values[option - SUBJECT] = optarg;
	}
	return optind == argc && arguments->command.config;
}

static int run(const struct database_command *command, const struct settings *settings,
	       struct database *database)
{
	const struct arguments *arguments = (const struct arguments *)command;
	int code = arguments->action->act(arguments, database);

	if (arguments->action->act == create && code == EXIT_SUCCESS && !settings->auth.opaque)
		fputs("The configuration does not accept it: add \"auth\": {\"opaque\": true}.\n",
		      stderr);
	return code;
}

int token_command(int argc, char **argv)
{
	struct arguments arguments = {
	    .command = {.name = "token", .action = argv[1]},
	    .action = find_action(argv[1]),
	};

	if (!arguments.action || !parse(argc - 1, argv + 1, &arguments) ||
	    !arguments.action->fits(&arguments)) {
		fputs(usage, stderr);
		return COMMAND_USAGE;
	}
	return database_command_run(&arguments.command, run);
}
