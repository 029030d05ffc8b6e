#include "dev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/embedded_broker.h"
#include "kafka/producer.h"
#include "private_postgres.h"

enum { SAMPLE_MS = 1000, STEP_MS = 100, ORDER_STEPS = 7, ANNOUNCE_STEPS = 100 };

static const struct embedded_broker_topic topics[] = {
    {"host.metrics", 1}, {"orders", 4}, {"announcements", 1}};

struct dev {
	struct embedded_broker *broker;
	struct private_postgres *postgres; /* NULL: the server is not installed, or failed */
	struct producer *producer;
	pthread_t thread;
	bool thread_runs;
	_Atomic bool stopping;
	unsigned seed;
	uint64_t orders;
};

static int run_postgres(struct dev *dev, const char *folder, char *why)
{
	int rc = private_postgres_new(folder, NULL, &dev->postgres, why);

	if (rc)
		return rc;
	rc = private_postgres_start(dev->postgres, why);
	if (rc) {
		private_postgres_free(dev->postgres);
		dev->postgres = NULL;
	}
	return rc;
}

/* In a folder that a link in `folder` names, for the next start, too. */
static int run_postgres_elsewhere(struct dev *dev, struct buffer *folder, char *why)
{
	char elsewhere[] = "/tmp/sluice-dev-XXXXXX";
	const char *link;
	int rc;

	buffer_append_text(folder, "/elsewhere");
	link = buffer_text(folder);
	if (access(link, F_OK) == 0)
		return run_postgres(dev, link, why);
	if (!mkdtemp(elsewhere))
		return ERROR_IO;
	rc = run_postgres(dev, elsewhere, why);
	unlink(link);
	if (!rc && symlink(elsewhere, link))
		log_event(LOG_WARN, "dev", "the next start will not find this database",
			  LOG_STR("folder", elsewhere));
	return rc;
}

/* Sluice works without it, so it is no reason to stop. */
static void start_postgres(struct dev *dev)
{
	const char *parent = getenv("SLUICE_DEV_DIR");
	struct buffer folder = {0};
	char why[512];
	int rc;

	buffer_append_format(&folder, "%s/dev-postgres", parent ? parent : "build");
	rc = run_postgres(dev, buffer_text(&folder), why);
	/* The server's user cannot enter root's home. */
	if (rc == ERROR_IO && !parent && geteuid() == 0)
		rc = run_postgres_elsewhere(dev, &folder, why);
	buffer_free(&folder);
	if (rc)
		log_event(LOG_WARN, "dev", "going on without PostgreSQL", LOG_STR("reason", why));
	else
		setenv("SLUICE_DEV_POSTGRES", private_postgres_url(dev->postgres), 1);
}

int dev_start(struct dev **started)
{
	struct dev *dev = MEM_NEW(struct dev);
	int rc = embedded_broker_start(topics, sizeof(topics) / sizeof(topics[0]), &dev->broker);

	if (rc) {
		free(dev);
		return rc;
	}
	dev->seed = (unsigned)clock_unix_ms();
	setenv("SLUICE_KAFKA", embedded_broker_servers(dev->broker), 1);
	start_postgres(dev);
	*started = dev;
	return 0;
}

const char *dev_brokers(const struct dev *dev)
{
	return embedded_broker_servers(dev->broker);
}

static void send_sample(struct dev *dev, const char *topic, const char *key, struct slice value)
{
	static struct log_limit limit;
	const struct producer_message message = {
	    .topic = topic,
	    .has_key = true,
	    .has_value = true,
	    .key = slice_of(key),
	    .value = value,
	};
	char reason[256];
	uint64_t suppressed;

	if (producer_send(dev->producer, &message, reason) &&
	    log_limit_pass(&limit, 10000, &suppressed))
		log_event(LOG_WARN, "dev", "a sample event could not be produced",
			  LOG_STR("reason", reason));
}

/* The value of "Name: number" in /proc/meminfo, in KiB. */
static unsigned long long meminfo(const char *text, const char *name)
{
	const char *at = strstr(text, name);
	unsigned long long kib = 0;

	if (at)
		sscanf(at + strlen(name), ": %llu", &kib);
	return kib;
}

static void read_file(const char *path, char *text, size_t size)
{
	FILE *file = fopen(path, "re");
	size_t len = file ? fread(text, 1, size - 1, file) : 0;

	text[len] = '\0';
	if (file)
		fclose(file);
}

static void sum_network(const char *text, unsigned long long *received, unsigned long long *sent)
{
	const char *line = text;

	*received = *sent = 0;
	while ((line = strchr(line, '\n'))) {
		unsigned long long in, out;
		char name[32];

		line++;
		if (sscanf(line, " %31[^:]: %llu %*u %*u %*u %*u %*u %*u %*u %llu", name, &in,
			   &out) == 3) {
			*received += in;
			*sent += out;
		}
	}
}

static void send_host_metrics(struct dev *dev)
{
	char memory[4096], network[16384], host[65] = "host", now[25];
	unsigned long long received, sent;
	struct buffer value = {0};
	double load[3] = {0};

	if (getloadavg(load, 3) < 0)
		load[0] = 0;
	gethostname(host, sizeof(host) - 1);
	read_file("/proc/meminfo", memory, sizeof(memory));
	read_file("/proc/net/dev", network, sizeof(network));
	sum_network(network, &received, &sent);
	clock_format_rfc3339(clock_unix_ms(), now);
	buffer_append_text(&value, "{\"host\":");
	buffer_append_json_string(&value, slice_of(host));
	buffer_append_format(&value,
			     ",\"time\":\"%s\",\"load\":[%.2f,%.2f,%.2f],"
			     "\"memory\":{\"total_kib\":%llu,\"available_kib\":%llu},"
			     "\"network\":{\"received_bytes\":%llu,\"sent_bytes\":%llu}}",
			     now, load[0], load[1], load[2], meminfo(memory, "MemTotal"),
			     meminfo(memory, "MemAvailable"), received, sent);
	send_sample(dev, "host.metrics", host, buffer_slice(&value));
	buffer_free(&value);
}

static void send_order(struct dev *dev)
{
	static const char *const users[] = {"ada", "grace", "edsger", "barbara"};
	static const char *const goods[] = {"tea", "bicycle", "lamp", "notebook", "compass"};
	static const char *const states[] = {"created", "paid", "shipped"};
	const char *user = users[(unsigned)rand_r(&dev->seed) % 4];
	struct buffer value = {0};

	buffer_append_format(
	    &value,
	    "{\"order\":%llu,\"user_id\":\"%s\",\"item\":\"%s\",\"state\":\"%s\","
	    "\"cents\":%d}",
	    (unsigned long long)++dev->orders, user, goods[(unsigned)rand_r(&dev->seed) % 5],
	    states[(unsigned)rand_r(&dev->seed) % 3], 100 + rand_r(&dev->seed) % 9900);
	send_sample(dev, "orders", user, buffer_slice(&value));
	buffer_free(&value);
}

static void *run_samples(void *context)
{
	struct dev *dev = context;

	for (unsigned step = 0; !atomic_load(&dev->stopping); step++) {
		struct producer_report report;

		if (step % (SAMPLE_MS / STEP_MS) == 0)
			send_host_metrics(dev);
		if (step % ORDER_STEPS == 0)
			send_order(dev);
		if (step % ANNOUNCE_STEPS == 0)
			send_sample(dev, "announcements", "all",
				    SLICE_LIT("{\"text\":\"Sample events are running.\"}"));
		if (producer_flush(dev->producer, STEP_MS, &report) == ERROR_KAFKA)
			log_event(LOG_WARN, "dev", "sample events were lost",
				  LOG_STR("reason", report.reason));
		usleep(STEP_MS * 1000);
	}
	return NULL;
}

int dev_start_samples(struct dev *dev)
{
	char name[] = "bootstrap.servers";
	char *servers = mem_strdup(dev_brokers(dev));
	struct kafka_property property = {name, servers};
	const struct kafka_settings settings = {.properties = &property, .property_count = 1};
	char reason[256];
	int rc = producer_open(&settings, &dev->producer, reason);

	free(servers);
	if (rc) {
		log_event(LOG_ERROR, "dev", "the sample producer cannot start",
			  LOG_STR("reason", reason));
		return rc;
	}
	dev->thread_runs = pthread_create(&dev->thread, NULL, run_samples, dev) == 0;
	if (!dev->thread_runs)
		return ERROR_LIMIT;
	pthread_setname_np(dev->thread, "sluice-samples");
	return 0;
}

void dev_stop(struct dev *dev)
{
	atomic_store(&dev->stopping, true);
	if (dev->thread_runs)
		pthread_join(dev->thread, NULL);
	if (dev->producer)
		producer_close(dev->producer);
	embedded_broker_stop(dev->broker);
	if (dev->postgres)
		private_postgres_free(dev->postgres);
	free(dev);
}
