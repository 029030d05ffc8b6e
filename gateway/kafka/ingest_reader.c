/*
 * The reader: hands librdkafka's messages to the sink and does what discovery posts.
 *
 * librdkafka's "simple" consumer: partitions start and stop one by one while others are read, all
 * into one queue, and no consumer group is needed (with assign() librdkafka 2.0.2 insists on a
 * group.id and asks for the group's coordinator, which needs rights on that group). A partition
 * that was stopped leaves no old messages behind: librdkafka gives each start a version and drops
 * messages of older ones.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "ingest_priv.h"

/* The longest that nothing happens before the sink is flushed; stop and commands interrupt it. */
enum { IDLE_MS = 1000 };

static size_t handle_place(const struct ingest *ingest, const rd_kafka_topic_t *handle)
{
	size_t low = 0, high = ingest->handle_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if ((uintptr_t)ingest->by_handle[middle]->handle < (uintptr_t)handle)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct ingest_topic *find_topic(const struct ingest *ingest, const rd_kafka_topic_t *handle)
{
	size_t place = handle_place(ingest, handle);

	if (place < ingest->handle_count && ingest->by_handle[place]->handle == handle)
		return ingest->by_handle[place];
	return NULL;
}

static void add_handle(struct ingest *ingest, struct ingest_topic *topic)
{
	size_t place = handle_place(ingest, topic->handle);

	if (find_topic(ingest, topic->handle))
		return;
	ingest->by_handle =
	    mem_realloc(ingest->by_handle, (ingest->handle_count + 1) * sizeof(*ingest->by_handle));
	memmove(ingest->by_handle + place + 1, ingest->by_handle + place,
		(ingest->handle_count - place) * sizeof(*ingest->by_handle));
	ingest->by_handle[place] = topic;
	ingest->handle_count++;
}

static void remove_handle(struct ingest *ingest, const struct ingest_topic *topic)
{
	size_t place = handle_place(ingest, topic->handle);

	if (place == ingest->handle_count || ingest->by_handle[place] != topic)
		return;
	ingest->handle_count--;
	memmove(ingest->by_handle + place, ingest->by_handle + place + 1,
		(ingest->handle_count - place) * sizeof(*ingest->by_handle));
}

static struct ingest_partition *find_partition(const struct ingest_topic *topic, int32_t number)
{
	struct ingest_partition *partition;

	if (number < 0 || (uint32_t)number >= topic->partition_count)
		return NULL;
	partition = topic->partitions[number];
	return atomic_load(&partition->next) == INGEST_NO_OFFSET ? NULL : partition;
}

static struct ingest_partition *grow_partitions(struct ingest *ingest, struct ingest_topic *topic,
						int32_t number)
{
	pthread_mutex_lock(&ingest->lock);
	while (topic->partition_count <= (uint32_t)number) {
		struct ingest_partition *partition = MEM_NEW(struct ingest_partition);

		atomic_init(&partition->next, INGEST_NO_OFFSET);
		partition->goal = INGEST_NO_OFFSET;
		topic->partitions = mem_realloc(topic->partitions, (topic->partition_count + 1) *
								       sizeof(*topic->partitions));
		topic->partitions[topic->partition_count++] = partition;
	}
	pthread_mutex_unlock(&ingest->lock);
	return topic->partitions[number];
}

static void check_caught_up(struct ingest *ingest, struct ingest_topic *topic)
{
	if (!topic->goals_known || topic->goals_left || topic->caught_up)
		return;
	pthread_mutex_lock(&ingest->lock);
	topic->caught_up = true;
	pthread_mutex_unlock(&ingest->lock);
	ingest->sink.caught_up(ingest->sink.context, topic->token);
}

/* Moves the partition's position, and sees whether that was its goal. */
static void advance(struct ingest *ingest, struct ingest_topic *topic,
		    struct ingest_partition *partition, int64_t next)
{
	atomic_store_explicit(&partition->next, next, memory_order_relaxed);
	if (partition->goal == INGEST_NO_OFFSET || next < partition->goal)
		return;
	partition->goal = INGEST_NO_OFFSET;
	topic->goals_left--;
	check_caught_up(ingest, topic);
}

static void set_partition_problem(struct ingest *ingest, const struct ingest_topic *topic,
				  struct ingest_partition *partition, int32_t number,
				  const char *problem)
{
	if (partition->problem == problem)
		return;
	pthread_mutex_lock(&ingest->lock);
	partition->problem = problem;
	pthread_mutex_unlock(&ingest->lock);
	if (problem)
		log_event(LOG_WARN, "ingest", problem, LOG_STR("topic", topic->name),
			  LOG_INT("partition", number));
	else
		log_event(LOG_INFO, "ingest", "the partition is read again",
			  LOG_STR("topic", topic->name), LOG_INT("partition", number));
}

static void set_fetched(struct ingest *ingest, const struct ingest_topic *topic, int32_t number,
			bool fetched)
{
	pthread_mutex_lock(&ingest->lock);
	topic->partitions[number]->fetched = fetched;
	pthread_mutex_unlock(&ingest->lock);
}

static void start_fetching(struct ingest *ingest, const struct ingest_topic *topic, int32_t number,
			   int64_t offset)
{
	int failed =
	    rd_kafka_consume_start_queue(topic->handle, number, offset, ingest->poll.queue);

	/* Only for what is started twice, or is no partition. */
	assert(!failed);
	set_fetched(ingest, topic, number, true);
}

static void stop_fetching(struct ingest *ingest, const struct ingest_topic *topic, int32_t number)
{
	rd_kafka_consume_stop(topic->handle, number);
	set_fetched(ingest, topic, number, false);
}

static void run_start(struct ingest *ingest, const struct ingest_command *command)
{
	struct ingest_topic *topic = command->topic;
	struct ingest_partition *partition = grow_partitions(ingest, topic, command->partition);

	add_handle(ingest, topic);
	partition->goal = command->goal;
	if (command->goal != INGEST_NO_OFFSET)
		topic->goals_left++;
	ingest->sink.partition(ingest->sink.context, topic->token, command->partition,
			       command->offset);
	advance(ingest, topic, partition, command->offset);
	start_fetching(ingest, topic, command->partition, command->offset);
}

static void run_move(struct ingest *ingest, const struct ingest_command *command)
{
	struct ingest_topic *topic = command->topic;
	struct ingest_partition *partition = find_partition(topic, command->partition);
	int64_t from = atomic_load(&partition->next);

	/* An error that came twice, or late: it goes on where it is. */
	if (command->from != INGEST_NO_OFFSET && command->from != from)
		return;
	if (partition->fetched)
		stop_fetching(ingest, topic, command->partition);
	if (command->offset != from) {
		log_event(LOG_WARN, "ingest", "the log no longer has what comes next",
			  LOG_STR("topic", topic->name), LOG_INT("partition", command->partition),
			  LOG_INT("next", from), LOG_INT("start", command->offset));
		ingest->sink.gap(ingest->sink.context, topic->token, command->partition, from,
				 command->offset);
	}
	/* A log that was made anew may never get as far as the old one was. */
	if (command->offset < from)
		partition->goal = partition->goal == INGEST_NO_OFFSET ? INGEST_NO_OFFSET : 0;
	advance(ingest, topic, partition, command->offset);
	start_fetching(ingest, topic, command->partition, command->offset);
}

static void run_discovered(struct ingest *ingest, const struct ingest_command *command)
{
	command->topic->goals_known = true;
	check_caught_up(ingest, command->topic);
}

static void halt_topic(struct ingest *ingest, const struct ingest_topic *topic)
{
	for (uint32_t i = 0; i < topic->partition_count; i++) {
		if (topic->partitions[i]->fetched)
			stop_fetching(ingest, topic, (int32_t)i);
	}
}

static void run_halt(struct ingest *ingest, const struct ingest_command *command)
{
	halt_topic(ingest, command->topic);
}

static void stop_topic(struct ingest *ingest, struct ingest_topic *topic)
{
	halt_topic(ingest, topic);
	remove_handle(ingest, topic);
}

static void run_forget(struct ingest *ingest, const struct ingest_command *command)
{
	struct ingest_topic *topic = command->topic;

	stop_topic(ingest, topic);
	if (topic->handle)
		rd_kafka_topic_destroy(topic->handle);
	ingest->sink.forgotten(ingest->sink.context, topic->token);
	ingest_topic_free(topic);
}

static void run_commands(struct ingest *ingest)
{
	static void (*const run[])(struct ingest *, const struct ingest_command *) = {
	    [INGEST_START] = run_start,           [INGEST_MOVE] = run_move,
	    [INGEST_DISCOVERED] = run_discovered, [INGEST_HALT] = run_halt,
	    [INGEST_FORGET] = run_forget,
	};
	struct ingest_command *command = ingest_take_commands(ingest);

	while (command) {
		struct ingest_command *done = command;

		command = command->following;
		run[done->type](ingest, done);
		free(done);
	}
}

/* librdkafka has given the partition up; what is left of the log is asked for off this thread. */
static void lose_partition(struct ingest *ingest, struct ingest_topic *topic,
			   struct ingest_partition *partition)
{
	pthread_mutex_lock(&ingest->lock);
	partition->lost = true;
	ingest_wake_discovery(ingest, topic);
	pthread_mutex_unlock(&ingest->lock);
}

static void take_error(struct ingest *ingest, struct ingest_topic *topic,
		       struct ingest_partition *partition, const rd_kafka_message_t *message)
{
	switch (message->err) {
	case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
	case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
		lose_partition(ingest, topic, partition);
		break;
	case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
	case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
	case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
		/* Discovery sees the same and says so for the topic. */
		pthread_mutex_lock(&ingest->lock);
		ingest_wake_discovery(ingest, topic);
		pthread_mutex_unlock(&ingest->lock);
		break;
	default:
		set_partition_problem(ingest, topic, partition, message->partition,
				      kafka_conf_error_text(message->err));
	}
}

static void take_record(struct ingest *ingest, struct ingest_topic *topic,
			struct ingest_partition *partition, const rd_kafka_message_t *message)
{
	struct record record;

	/* A batch with compacted or rewritten offsets never goes back; a second guard against
	 * anything seen twice. */
	if (message->offset < atomic_load_explicit(&partition->next, memory_order_relaxed))
		return;
	kafka_poll_record(&ingest->poll, message, &record);
	ingest->sink.record(ingest->sink.context, topic->token, &record);
	advance(ingest, topic, partition, message->offset + 1);
}

static void take_end(struct ingest *ingest, struct ingest_topic *topic,
		     struct ingest_partition *partition, const rd_kafka_message_t *message)
{
	if (message->offset < atomic_load_explicit(&partition->next, memory_order_relaxed))
		return;
	ingest->sink.end(ingest->sink.context, topic->token, message->partition, message->offset);
	advance(ingest, topic, partition, message->offset);
}

static void take_message(struct ingest *ingest, const rd_kafka_message_t *message)
{
	struct ingest_topic *topic = find_topic(ingest, message->rkt);
	struct ingest_partition *partition =
	    topic ? find_partition(topic, message->partition) : NULL;

	if (!partition)
		return;
	if (message->err && message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		take_error(ingest, topic, partition, message);
		return;
	}
	if (partition->problem)
		set_partition_problem(ingest, topic, partition, message->partition, NULL);
	if (message->err)
		take_end(ingest, topic, partition, message);
	else
		take_record(ingest, topic, partition, message);
}

static void nudge(struct ingest *ingest)
{
	rd_kafka_topic_partition_list_t *started = rd_kafka_topic_partition_list_new(16);

	for (size_t i = 0; i < ingest->handle_count; i++) {
		const struct ingest_topic *topic = ingest->by_handle[i];

		for (uint32_t j = 0; j < topic->partition_count; j++)
			rd_kafka_topic_partition_list_add(started, topic->name, (int32_t)j);
	}
	kafka_poll_nudge(&ingest->poll, started);
	rd_kafka_topic_partition_list_destroy(started);
}

void *ingest_reader_run(void *context)
{
	struct ingest *ingest = context;
	struct kafka_poll *poll = &ingest->poll;

	while (!atomic_load(&ingest->stopping)) {
		run_commands(ingest);
		kafka_poll_wait(poll, IDLE_MS);
		for (size_t i = 0; i < poll->count; i++)
			take_message(ingest, poll->messages[i]);
		kafka_poll_release(poll);
		ingest->sink.flush(ingest->sink.context);
		if (kafka_poll_wants_nudge(poll))
			nudge(ingest);
	}
	while (ingest->handle_count)
		stop_topic(ingest, ingest->by_handle[0]);
	return NULL;
}
