#include "event/position.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void position_init(struct position *position, uint32_t topic_count)
{
	assert(topic_count <= POSITION_MAX_TOPICS);
	position->topic_count = topic_count;
	position->topics = mem_zalloc(topic_count * sizeof(position->topics[0]));
}

void position_fini(struct position *position)
{
	for (uint32_t t = 0; t < position->topic_count; t++)
		free(position->topics[t].next);
	free(position->topics);
	*position = (struct position){0};
}

static void copy_topic(struct position_topic *to, const struct position_topic *from)
{
	size_t bytes = from->partition_count * sizeof(from->next[0]);

	if (to->partition_count != from->partition_count)
		to->next = mem_realloc(to->next, bytes);
	to->partition_count = from->partition_count;
	if (bytes)
		memcpy(to->next, from->next, bytes);
}

void position_copy(struct position *to, const struct position *from)
{
	position_init(to, from->topic_count);
	for (uint32_t t = 0; t < from->topic_count; t++)
		copy_topic(&to->topics[t], &from->topics[t]);
}

void position_assign(struct position *to, const struct position *from)
{
	if (to->topic_count != from->topic_count) {
		position_fini(to);
		position_init(to, from->topic_count);
	}
	for (uint32_t t = 0; t < from->topic_count; t++)
		copy_topic(&to->topics[t], &from->topics[t]);
}

int64_t position_get(const struct position *position, uint32_t topic, uint32_t partition)
{
	if (topic >= position->topic_count || partition >= position->topics[topic].partition_count)
		return 0;
	return position->topics[topic].next[partition];
}

/* A client's position may name fewer topics than the feed has: ids are not signed. */
static void grow_topics(struct position *position, uint32_t topic_count)
{
	position->topics = mem_realloc(position->topics, topic_count * sizeof(position->topics[0]));
	memset(position->topics + position->topic_count, 0,
	       (topic_count - position->topic_count) * sizeof(position->topics[0]));
	position->topic_count = topic_count;
}

/* Partitions between the known ones and a new one begin at 0. */
static void grow_topic(struct position_topic *topic, uint32_t partition_count)
{
	topic->next = mem_realloc(topic->next, partition_count * sizeof(topic->next[0]));
	memset(topic->next + topic->partition_count, 0,
	       (partition_count - topic->partition_count) * sizeof(topic->next[0]));
	topic->partition_count = partition_count;
}

void position_set(struct position *position, uint32_t topic, uint32_t partition, int64_t next)
{
	assert(topic < POSITION_MAX_TOPICS && partition < POSITION_MAX_PARTITIONS && next >= 0);
	if (topic >= position->topic_count)
		grow_topics(position, topic + 1);
	if (partition >= position->topics[topic].partition_count)
		grow_topic(&position->topics[topic], partition + 1);
	position->topics[topic].next[partition] = next;
}

void position_truncate(struct position *position, uint32_t topic, uint32_t count)
{
	assert(topic < position->topic_count);
	if (position->topics[topic].partition_count > count)
		position->topics[topic].partition_count = count;
}

bool position_at_or_before(const struct position *a, const struct position *b)
{
	for (uint32_t t = 0; t < a->topic_count; t++)
		for (uint32_t p = 0; p < a->topics[t].partition_count; p++)
			if (a->topics[t].next[p] > position_get(b, t, p))
				return false;
	return true;
}

void position_merge(struct position *to, const struct position *from)
{
	for (uint32_t t = 0; t < from->topic_count; t++)
		for (uint32_t p = 0; p < from->topics[t].partition_count; p++)
			if (from->topics[t].next[p] > position_get(to, t, p))
				position_set(to, t, p, from->topics[t].next[p]);
}

void position_limit(struct position *to, const struct position *most)
{
	for (uint32_t t = 0; t < to->topic_count; t++)
		for (uint32_t p = 0; p < to->topics[t].partition_count; p++)
			if (to->topics[t].next[p] > position_get(most, t, p))
				to->topics[t].next[p] = position_get(most, t, p);
}
