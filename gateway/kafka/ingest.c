#include "kafka/ingest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "ingest_priv.h"

/* The user's pace of metadata is discovery's too. */
static uint32_t refresh_of(const rd_kafka_conf_t *conf)
{
	char text[32];
	size_t size = sizeof(text);
	long ms;

	if (rd_kafka_conf_get(conf, "topic.metadata.refresh.interval.ms", text, &size) !=
	    RD_KAFKA_CONF_OK)
		return 10000;
	ms = strtol(text, NULL, 10);
	return ms > 0 ? (uint32_t)ms : 10000;
}

int ingest_new(const struct kafka_settings *settings, const struct ingest_sink *sink,
	       struct ingest **made)
{
	struct ingest *ingest = MEM_NEW(struct ingest);
	rd_kafka_conf_t *conf = NULL;
	char reason[256];
	int error = kafka_conf_new(settings, KAFKA_INGEST, &conf, reason);

	if (!error) {
		ingest->refresh_ms = refresh_of(conf);
		error =
		    kafka_conf_open(conf, KAFKA_INGEST, &ingest->health, &ingest->kafka, reason);
	}
	if (error) {
		/* The code alone would not say which property it is. */
		log_event(LOG_ERROR, "ingest", "librdkafka refuses its settings",
			  LOG_STR("reason", reason));
		free(ingest);
		return error;
	}
	kafka_poll_open(&ingest->poll, ingest->kafka);
	ingest->events = rd_kafka_queue_get_main(ingest->kafka);
	ingest->sink = *sink;
	ingest->commands_end = &ingest->commands;
	pthread_mutex_init(&ingest->lock, NULL);
	*made = ingest;
	return 0;
}

void ingest_start(struct ingest *ingest)
{
	int error = pthread_create(&ingest->reader, NULL, ingest_reader_run, ingest);

	assert(!error);
	pthread_setname_np(ingest->reader, "sluice-ingest");
	error = pthread_create(&ingest->discovery, NULL, discovery_run, ingest);
	assert(!error);
	pthread_setname_np(ingest->discovery, "sluice-discover");
	ingest->started = true;
}

void ingest_stop(struct ingest *ingest)
{
	if (!ingest->started)
		return;
	atomic_store(&ingest->stopping, true);
	rd_kafka_queue_yield(ingest->poll.queue);
	rd_kafka_queue_yield(ingest->events);
	pthread_join(ingest->reader, NULL);
	pthread_join(ingest->discovery, NULL);
	ingest->started = false;
}

void ingest_topic_free(struct ingest_topic *topic)
{
	for (uint32_t i = 0; i < topic->partition_count; i++)
		free(topic->partitions[i]);
	free(topic->partitions);
	free(topic->planned);
	free(topic->name);
	free(topic);
}

static void free_commands(struct ingest *ingest)
{
	struct ingest_command *command = ingest_take_commands(ingest);

	while (command) {
		struct ingest_command *done = command;

		command = command->following;
		if (done->type == INGEST_FORGET) {
			if (done->topic->handle)
				rd_kafka_topic_destroy(done->topic->handle);
			ingest_topic_free(done->topic);
		}
		free(done);
	}
}

void ingest_free(struct ingest *ingest)
{
	assert(!ingest->started);
	free_commands(ingest);
	while (ingest->topics) {
		struct ingest_topic *topic = ingest->topics;

		ingest->topics = topic->following;
		if (topic->handle)
			rd_kafka_topic_destroy(topic->handle);
		ingest_topic_free(topic);
	}
	kafka_poll_close(&ingest->poll);
	rd_kafka_queue_destroy(ingest->events);
	rd_kafka_destroy(ingest->kafka);
	pthread_mutex_destroy(&ingest->lock);
	free(ingest->by_handle);
	free(ingest);
}

void ingest_post(struct ingest *ingest, const struct ingest_command *command)
{
	struct ingest_command *posted = MEM_NEW(struct ingest_command);

	*posted = *command;
	posted->following = NULL;
	pthread_mutex_lock(&ingest->lock);
	*ingest->commands_end = posted;
	ingest->commands_end = &posted->following;
	pthread_mutex_unlock(&ingest->lock);
	rd_kafka_queue_yield(ingest->poll.queue);
}

struct ingest_command *ingest_take_commands(struct ingest *ingest)
{
	struct ingest_command *taken;

	pthread_mutex_lock(&ingest->lock);
	taken = ingest->commands;
	ingest->commands = NULL;
	ingest->commands_end = &ingest->commands;
	pthread_mutex_unlock(&ingest->lock);
	return taken;
}

void ingest_want(struct ingest *ingest, const char *name, uint32_t warm_ms, void *token)
{
	struct ingest_topic *topic = MEM_NEW(struct ingest_topic);

	topic->name = mem_strdup(name);
	topic->warm_ms = warm_ms;
	topic->token = token;
	pthread_mutex_lock(&ingest->lock);
	topic->following = ingest->topics;
	ingest->topics = topic;
	ingest_wake_discovery(ingest, topic);
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_unwant(struct ingest *ingest, const char *name)
{
	pthread_mutex_lock(&ingest->lock);
	for (struct ingest_topic *topic = ingest->topics; topic; topic = topic->following) {
		if (!topic->unwanted && !strcmp(topic->name, name)) {
			topic->unwanted = true;
			ingest_wake_discovery(ingest, topic);
		}
	}
	pthread_mutex_unlock(&ingest->lock);
}

static int64_t partition_lag(struct ingest *ingest, const struct ingest_topic *topic,
			     uint32_t partition)
{
	int64_t next = atomic_load(&topic->partitions[partition]->next);
	int64_t low, high;

	if (next == INGEST_NO_OFFSET ||
	    rd_kafka_get_watermark_offsets(ingest->kafka, topic->name, (int32_t)partition, &low,
					   &high))
		return 0;
	return high > next ? high - next : 0;
}

static void describe(struct ingest *ingest, const struct ingest_topic *topic,
		     struct ingest_topic_state *state)
{
	*state = (struct ingest_topic_state){
	    .topic = topic->name,
	    .caught_up = topic->caught_up,
	    .problem = ingest->problem ? ingest->problem : topic->problem,
	};
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		const struct ingest_partition *partition = topic->partitions[i];

		if (!state->problem)
			state->problem = partition->problem;
		if (partition->fetched)
			state->partition_count++;
		state->lag += partition_lag(ingest, topic, i);
	}
}

void ingest_each_topic(struct ingest *ingest,
		       void (*visit)(void *context, const struct ingest_topic_state *state),
		       void *context)
{
	struct ingest_topic_state state;

	pthread_mutex_lock(&ingest->lock);
	for (struct ingest_topic *topic = ingest->topics; topic; topic = topic->following) {
		if (topic->unwanted)
			continue;
		describe(ingest, topic, &state);
		visit(context, &state);
	}
	pthread_mutex_unlock(&ingest->lock);
}
