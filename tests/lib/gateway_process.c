#include "lib/gateway_process.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "lib/http_client.h"

/* Sanitizer builds are slow to start, and `drain_ms` may be long. */
enum {
	START_TIMEOUT_MS = 30000,
	READY_TIMEOUT_MS = 90000,
	STOP_TIMEOUT_MS = 30000,
	COMMAND_TIMEOUT_MS = 60000,
	METRIC_TIMEOUT_MS = 90000,
	POLL_MS = 10,
	MAX_ARGUMENTS = 24,
};

void gateway_process_init(struct gateway_process *gateway)
{
	memset(gateway, 0, sizeof(*gateway));
	child_init(&gateway->child, "gateway");
	child_make_folder(gateway->folder);
	snprintf(gateway->config, sizeof(gateway->config), "%s/sluice.json", gateway->folder);
}

void gateway_process_configure(struct gateway_process *gateway, const char *config)
{
	child_write_file(gateway->config, config);
}

/* True where the line says on which port a listener listens. */
static bool read_port(const char *line, size_t len, uint16_t *port)
{
	bool found = false;
	json_t *entry = json_loadb(line, len, 0, NULL);
	const char *message = json_string_value(json_object_get(entry, "message"));
	json_t *number = json_object_get(entry, "port");
	if (message && strcmp(message, "listening") == 0 && json_is_integer(number)) {
		*port = (uint16_t)json_integer_value(number);
		found = true;
	}
	json_decref(entry);
	return found;
}

static size_t read_ports(struct gateway_process *gateway, const char *log)
{
	size_t count = 0;
	for (const char *end; (end = strchr(log, '\n')); log = end + 1)
		if (count < GATEWAY_PROCESS_LISTENERS &&
		    read_port(log, (size_t)(end - log), &gateway->ports[count]))
			count++;
	return count;
}

static size_t count_listeners(const struct gateway_process *gateway)
{
	json_error_t error;
	json_t *config = json_load_file(gateway->config, 0, &error);
	if (!config)
		child_die("the test's configuration, line %d: %s", error.line, error.text);
	size_t count = json_array_size(json_object_get(config, "listeners"));
	json_decref(config);
	return count;
}

static bool answers(struct gateway_process *gateway, const char *path, struct buffer *said)
{
	char url[128];
	struct http_client_answer answer;
	snprintf(url, sizeof(url), "%s%s", gateway->url, path);
	http_client_get(url, &answer);
	if (said) {
		buffer_clear(said);
		buffer_append_text(said, answer.status ? answer.body.base : answer.error);
	}
	bool is_200 = answer.status == 200;
	http_client_answer_fini(&answer);
	return is_200;
}

/* One look: true when every listener is there and the first one answers. */
static bool has_started(struct gateway_process *gateway, size_t listeners)
{
	char *log = child_read_file(gateway->child.log);
	size_t found = read_ports(gateway, log + gateway->child.log_start);
	free(log);
	if (found < listeners)
		return false;
	snprintf(gateway->url, sizeof(gateway->url), "http://127.0.0.1:%u", gateway->ports[0]);
	return answers(gateway, "/healthz", NULL);
}

void gateway_process_start(struct gateway_process *gateway)
{
	const char *binary = getenv("SLUICE_BINARY");
	size_t listeners = count_listeners(gateway);
	if (!binary)
		child_die("SLUICE_BINARY is not set");
	if (listeners > GATEWAY_PROCESS_LISTENERS)
		listeners = GATEWAY_PROCESS_LISTENERS;
	const char *argv[] = {binary, "--config", gateway->config, NULL};
	child_start(&gateway->child, argv);
	uint64_t deadline = clock_monotonic_ms() + START_TIMEOUT_MS;
	while (!has_started(gateway, listeners)) {
		if (!child_running(&gateway->child))
			child_die("the gateway ended:\n%s", child_read_file(gateway->child.log));
		if (clock_monotonic_ms() > deadline)
			child_die("the gateway does not answer; its log is %s", gateway->child.log);
		child_sleep_ms(POLL_MS);
	}
}

void gateway_process_wait_ready(struct gateway_process *gateway, uint32_t patience_ms)
{
	struct buffer said = {0};
	uint64_t deadline = clock_monotonic_ms() + patience_ms;
	while (!answers(gateway, "/readyz", &said)) {
		if (clock_monotonic_ms() > deadline)
			child_die("not ready: %s", buffer_text(&said));
		child_sleep_ms(POLL_MS);
	}
	buffer_free(&said);
}

void gateway_process_start_ready(struct gateway_process *gateway)
{
	gateway_process_start(gateway);
	gateway_process_wait_ready(gateway, READY_TIMEOUT_MS);
}

void gateway_process_launch(struct gateway_process *gateway, const char *config)
{
	gateway_process_init(gateway);
	gateway_process_configure(gateway, config);
	gateway_process_start_ready(gateway);
}

/* What a sanitizer has found may stand in the log only: a data race does not end the gateway, and
 * the status of one that is killed says nothing. */
static void check_sanitizers(const struct gateway_process *gateway)
{
	char *log = child_read_file(gateway->child.log);
	const char *report = strstr(log, "Sanitizer: ");
	if (!report)
		report = strstr(log, ": runtime error: ");
	if (report)
		child_die("a sanitizer's report is in %s:\n%.4000s", gateway->child.log, report);
	free(log);
}

int gateway_process_stop(struct gateway_process *gateway)
{
	int status = child_stop(&gateway->child, STOP_TIMEOUT_MS);
	check_sanitizers(gateway);
	return status;
}

void gateway_process_kill(struct gateway_process *gateway)
{
	child_kill(&gateway->child);
	check_sanitizers(gateway);
}

void gateway_process_fini(struct gateway_process *gateway)
{
	if (gateway->child.pid && gateway_process_stop(gateway))
		child_die("the gateway did not end well; its log is %s", gateway->child.log);
	child_remove_folder(gateway->folder);
}

char *gateway_process_run(const struct gateway_process *gateway, const char *const *arguments,
			  int *exit_code)
{
	const char *argv[MAX_ARGUMENTS] = {getenv("SLUICE_BINARY")};
	size_t count = 1;
	struct child child;

	while (*arguments && count < MAX_ARGUMENTS - 3)
		argv[count++] = *arguments++;
	argv[count++] = "--config";
	argv[count] = gateway->config;
	child_init(&child, "command");
	child_start(&child, argv);
	int status = child_wait(&child, COMMAND_TIMEOUT_MS);
	*exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return child_read_file(child.log);
}

double gateway_process_metric(struct gateway_process *gateway, const char *series)
{
	struct buffer text = {0};
	size_t len = strlen(series);
	double value = -1;
	if (!answers(gateway, "/metrics", &text))
		child_die("/metrics: %s", buffer_text(&text));
	for (const char *line = buffer_text(&text); line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, series, len) == 0 && line[len] == ' ') {
			value = strtod(line + len, NULL);
			break;
		}
	}
	buffer_free(&text);
	return value;
}

void gateway_process_wait_metric(struct gateway_process *gateway, const char *series, double least)
{
	uint64_t deadline = clock_monotonic_ms() + METRIC_TIMEOUT_MS;
	while (gateway_process_metric(gateway, series) < least) {
		if (clock_monotonic_ms() > deadline)
			child_die("%s does not become %g", series, least);
		child_sleep_ms(POLL_MS);
	}
}

size_t gateway_process_memory(const struct gateway_process *gateway)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%d/status", gateway->child.pid);
	char *status = child_read_file(path);
	const char *line = strstr(status, "VmRSS:");
	size_t bytes = line ? strtoul(line + strlen("VmRSS:"), NULL, 10) * 1024 : 0;
	free(status);
	return bytes;
}

size_t gateway_process_count_log(const struct gateway_process *gateway, const char *text)
{
	size_t count = 0;
	char *log = child_read_file(gateway->child.log);
	for (char *line = strtok(log + gateway->child.log_start, "\n"); line;
	     line = strtok(NULL, "\n"))
		count += strstr(line, text) != NULL;
	free(log);
	return count;
}
