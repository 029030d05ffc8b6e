#include "discovery_priv.h"

#include "base/clock.h"
#include "base/log.h"

enum {
	METADATA_MS = 2000,
	RETRY_MS = 1000, /* while something is missing */
	CALM_MS = 250,   /* at least between two looks at a topic that the reader complains about */
	/* So many answers in a row, a second apart, that a topic does not exist: it was deleted. A
	   broker that has just started may say so once. */
	DELETED_ANSWERS = 3,
};

static void set_cluster_problem(struct ingest *ingest, rd_kafka_resp_err_t error)
{
	rd_kafka_resp_err_t last = (rd_kafka_resp_err_t)atomic_load(&ingest->health.last_error);
	const char *problem = NULL;
	bool changed;

	/* "Transport failed" is all that the call says; the connection's own error says why. */
	if (error)
		problem = kafka_conf_error_text(last ? last : error);
	else
		atomic_store(&ingest->health.last_error, 0);
	pthread_mutex_lock(&ingest->lock);
	changed = ingest->problem != problem;
	ingest->problem = problem;
	pthread_mutex_unlock(&ingest->lock);
	if (!changed)
		return;
	if (problem)
		log_event(LOG_WARN, "ingest", problem);
	else
		log_event(LOG_INFO, "ingest", "Kafka is reachable");
}

static void set_topic_problem(struct ingest *ingest, struct ingest_topic *topic,
			      const char *problem)
{
	bool changed = topic->problem != problem;

	pthread_mutex_lock(&ingest->lock);
	topic->problem = problem;
	pthread_mutex_unlock(&ingest->lock);
	if (!changed)
		return;
	if (problem)
		log_event(LOG_WARN, "ingest", problem, LOG_STR("topic", topic->name));
	else
		log_event(LOG_INFO, "ingest", "the topic is complete",
			  LOG_STR("topic", topic->name),
			  LOG_INT("partitions", topic->planned_count));
}

static void note_absent(struct ingest *ingest, struct ingest_topic *topic)
{
	struct ingest_command command = {.type = INGEST_DISCOVERED, .topic = topic};

	topic->absent_answers++;
	if (topic->absent_answers == DELETED_ANSWERS && topic->planned_count) {
		/* Or librdkafka would go on in the middle of a new log of the same name. */
		command.type = INGEST_HALT;
		ingest_post(ingest, &command);
	}
	if (topic->looked)
		return;
	/* There is nothing to catch up with, and all that comes is new. */
	topic->looked = true;
	topic->from_start = true;
	topic->discovered = true;
	ingest_post(ingest, &command);
}

static void note_present(struct ingest_topic *topic, int partition_count)
{
	if (topic->looked)
		return;
	topic->looked = true;
	topic->first_look_ms = clock_unix_ms();
	topic->first_count = (uint32_t)partition_count;
}

/* Returns what is wrong with the topic, or NULL. */
static const char *judge(struct ingest *ingest, struct ingest_topic *topic,
			 const struct rd_kafka_metadata_topic *found)
{
	const char *lost, *missing;
	bool anew;

	if (found->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
		note_absent(ingest, topic);
		return kafka_conf_error_text(found->err);
	}
	if (found->err && found->err != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		return kafka_conf_error_text(found->err);
	if (!found->partition_cnt)
		return kafka_conf_error_text(RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
	anew = topic->absent_answers >= DELETED_ANSWERS && topic->planned_count;
	note_present(topic, found->partition_cnt);
	lost = discovery_plan_lost(ingest, topic, found, anew);
	missing = discovery_plan_missing(ingest, topic, found);
	if (!lost)
		topic->absent_answers = 0;
	return lost ? lost : missing;
}

/* Returns whether nothing is missing. */
static bool look_at(struct ingest *ingest, struct ingest_topic *topic)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t error;
	const char *problem;

	if (!topic->handle)
		topic->handle = rd_kafka_topic_new(ingest->kafka, topic->name, NULL);
	if (!topic->handle) {
		set_topic_problem(ingest, topic,
				  kafka_conf_error_text(RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION));
		return true;
	}
	/* One topic a request: asked for all that it knows, 2.0.2 lets the broker create those that
	 * were deleted. */
	error = rd_kafka_metadata(ingest->kafka, 0, topic->handle, &metadata, METADATA_MS);
	set_cluster_problem(ingest, error);
	if (error)
		return false;
	problem = metadata->topic_cnt
		      ? judge(ingest, topic, &metadata->topics[0])
		      : kafka_conf_error_text(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
	rd_kafka_metadata_destroy(metadata);
	set_topic_problem(ingest, topic, problem);
	return !problem;
}

/* Unlinks it; only the reader, to which it is posted, knows it then. */
static struct ingest_topic *take_unwanted(struct ingest *ingest)
{
	struct ingest_topic *found = NULL;

	pthread_mutex_lock(&ingest->lock);
	for (struct ingest_topic **at = &ingest->topics; *at; at = &(*at)->following) {
		if ((*at)->unwanted) {
			found = *at;
			*at = found->following;
			break;
		}
	}
	pthread_mutex_unlock(&ingest->lock);
	return found;
}

static void forget_unwanted(struct ingest *ingest)
{
	struct ingest_command command = {.type = INGEST_FORGET};

	while ((command.topic = take_unwanted(ingest)))
		ingest_post(ingest, &command);
}

/* One of the same name as an unwanted topic must not start before that stops. */
struct ingest_topic *discovery_take_due(struct ingest *ingest, uint64_t *wait_ms)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t next_ms = now_ms + RETRY_MS * 60;
	struct ingest_topic *due = NULL;
	bool unwanted = false;

	pthread_mutex_lock(&ingest->lock);
	for (struct ingest_topic *topic = ingest->topics; topic; topic = topic->following) {
		unwanted |= topic->unwanted;
		if (topic->due_ms <= now_ms)
			due = topic;
		if (topic->due_ms < next_ms)
			next_ms = topic->due_ms;
	}
	if (unwanted) {
		due = NULL;
		next_ms = now_ms;
	}
	if (due) {
		due->due_ms = UINT64_MAX;
		due->looked_ms = now_ms;
	}
	pthread_mutex_unlock(&ingest->lock);
	*wait_ms = next_ms > now_ms ? next_ms - now_ms : 0;
	return due;
}

/* Unless it was woken meanwhile. */
static void schedule(struct ingest *ingest, struct ingest_topic *topic, bool complete)
{
	pthread_mutex_lock(&ingest->lock);
	if (topic->due_ms == UINT64_MAX)
		topic->due_ms = clock_monotonic_ms() + (complete ? ingest->refresh_ms : RETRY_MS);
	pthread_mutex_unlock(&ingest->lock);
}

/* librdkafka has reported an error: what it means for the topics is seen soon. */
static void hurry(struct ingest *ingest)
{
	uint64_t soon_ms = clock_monotonic_ms() + RETRY_MS;

	pthread_mutex_lock(&ingest->lock);
	for (struct ingest_topic *topic = ingest->topics; topic; topic = topic->following) {
		if (topic->due_ms > soon_ms)
			topic->due_ms = soon_ms;
	}
	pthread_mutex_unlock(&ingest->lock);
}

void ingest_wake_discovery(struct ingest *ingest, struct ingest_topic *topic)
{
	topic->due_ms = topic->looked_ms ? topic->looked_ms + CALM_MS : 0;
	rd_kafka_queue_yield(ingest->events);
}

void *discovery_run(void *context)
{
	struct ingest *ingest = context;
	struct ingest_topic *topic;
	uint64_t wait_ms;

	while (!atomic_load(&ingest->stopping)) {
		forget_unwanted(ingest);
		topic = discovery_take_due(ingest, &wait_ms);
		if (topic)
			schedule(ingest, topic, look_at(ingest, topic));
		if (rd_kafka_poll(ingest->kafka, topic ? 0 : (int)wait_ms) > 0)
			hurry(ingest);
	}
	return NULL;
}
