/*
 * main: arguments, signals, exit codes.
 */
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/mem.h"
#include "commands.h"
#include "dev.h"
#include "gateway.h"
#include "settings.h"

#define VERSION "0.1.0"

static const char usage[] =
    "sluice: Kafka topics as Server-Sent Events\n"
    "\n"
    "  sluice --config FILE          serve the streams of a configuration\n"
    "  sluice --dev [--config FILE]  the same with a broker, PostgreSQL and sample events inside\n"
    "                                (FILE: conf/dev.json)\n"
    "  sluice --check-config FILE    say whether a configuration is right, and what is not\n"
    "  sluice --print-schema         the configuration's JSON Schema\n"
    "  sluice --print-reference      the configuration's reference, in Markdown\n"
    "  sluice --version, --help\n"
#define COMMAND_USAGE_LINES(name, lines) lines
    COMMAND_TABLE(COMMAND_USAGE_LINES);
#undef COMMAND_USAGE_LINES

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
} commands[] = {
#define COMMAND_ROW(name, lines) {#name, name##_command},
    COMMAND_TABLE(COMMAND_ROW)
#undef COMMAND_ROW
};

enum action { SERVE = 1, CHECK, SCHEMA, REFERENCE, SHOW_VERSION, HELP, MISUSE };

struct arguments {
	enum action action;
	const char *config;
	bool dev;
};

/* More sockets than the usual soft limit; the hard one is the operator's. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Blocked in every thread; main takes them with sigwait(). */
static void block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
}

static char *produce_hint(const struct dev *dev)
{
	struct buffer hint = {0};

	buffer_append_format(&hint,
			     "echo 'ada:{\"order\":1,\"user_id\":\"ada\",\"item\":\"kite\"}' | "
			     "kcat -b %s -P -t orders -K:",
			     dev_brokers(dev));
	buffer_text(&hint);
	return hint.base;
}

static void print_welcome(const struct gateway *gateway, const struct dev *dev, const char *hint)
{
	printf("\nOpen http://localhost:%u/ in a browser, or:\n"
	       "  curl -N http://localhost:%u/host/metrics\n"
	       "Produce an event:\n"
	       "  %s\n"
	       "or without kcat:\n"
	       "  printf 'ada\\t{\"order\":1,\"user_id\":\"ada\",\"item\":\"kite\"}\\n' | "
	       "build/release/sluice produce --brokers %s orders\n\n",
	       gateway_port(gateway, 0), gateway_port(gateway, 0), hint, dev_brokers(dev));
	fflush(stdout);
}

static int serve(const struct settings *settings, struct dev *dev, const sigset_t *signals)
{
	struct gateway *gateway;
	char *hint = dev ? produce_hint(dev) : NULL;
	int signal_number;

	if (gateway_start(settings, hint, &gateway)) {
		free(hint);
		return EXIT_FAILURE;
	}
	if (dev && dev_start_samples(dev) == 0)
		print_welcome(gateway, dev, hint);
	sigwait(signals, &signal_number);
	log_event(LOG_INFO, "main", "stopping", LOG_INT("signal", signal_number));
	gateway_stop(gateway);
	free(hint);
	log_event(LOG_INFO, "main", "stopped");
	return EXIT_SUCCESS;
}

static int load_and_serve(const struct arguments *arguments)
{
	const char *path = arguments->config ? arguments->config : "conf/dev.json";
	struct settings settings;
	struct dev *dev = NULL;
	sigset_t signals;
	int code = EXIT_FAILURE;

	raise_file_limit();
	block_signals(&signals);
	if (arguments->dev && dev_start(&dev))
		return EXIT_FAILURE;
	if (settings_load_or_print(path, &settings) == 0) {
		log_set_level(settings.log_level);
		code = serve(&settings, dev, &signals);
		settings_free(&settings);
	}
	if (dev)
		dev_stop(dev);
	return code;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (name && !strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* The first of the options that is more than an argument to serving decides. */
static struct arguments parse(int argc, char **argv)
{
	enum { DEV = 256 };
	static const struct option options[] = {
	    {"config", required_argument, NULL, 'c'},
	    {"dev", no_argument, NULL, DEV},
	    {"check-config", required_argument, NULL, CHECK},
	    {"print-schema", no_argument, NULL, SCHEMA},
	    {"print-reference", no_argument, NULL, REFERENCE},
	    {"version", no_argument, NULL, SHOW_VERSION},
	    {"help", no_argument, NULL, HELP},
	    {NULL, 0, NULL, 0},
	};
	struct arguments arguments = {.action = SERVE};
	int option;

	while (arguments.action == SERVE &&
	       (option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == DEV)
			arguments.dev = true;
		else if (option == '?')
			arguments.action = MISUSE;
		else if (option != 'c')
			arguments.action = (enum action)option;
		if (option == 'c' || option == CHECK)
			arguments.config = optarg;
	}
	if (arguments.action == SERVE && (optind != argc || (!arguments.config && !arguments.dev)))
		arguments.action = MISUSE;
	return arguments;
}

static int act(const struct arguments *arguments)
{
	switch (arguments->action) {
	case SERVE:
		return load_and_serve(arguments);
	case CHECK:
		return settings_check_main(arguments->config);
	case SCHEMA:
		settings_print_schema(stdout);
		return EXIT_SUCCESS;
	case REFERENCE:
		settings_print_reference(stdout);
		return EXIT_SUCCESS;
	case SHOW_VERSION:
		puts("sluice " VERSION);
		return EXIT_SUCCESS;
	case HELP:
		fputs(usage, stdout);
		return EXIT_SUCCESS;
	case MISUSE:
		break;
	}
	fputs(usage, stderr);
	return COMMAND_USAGE;
}

int main(int argc, char **argv)
{
	const struct command *command = find_command(argv[1]);
	struct arguments arguments;

	/* Memory exhaustion ends the process inside jansson, too. */
	json_set_alloc_funcs(mem_alloc, free);
	if (command)
		return command->run(argc - 1, argv + 1);
	arguments = parse(argc, argv);
	return act(&arguments);
}
