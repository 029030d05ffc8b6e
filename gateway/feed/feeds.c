#include "feed/feeds.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "event/document.h"

/* One topic that ingest reads, and the feeds that want it. The token of feeds_source. */
struct topic {
	char *name;
	struct position next; /* one topic: what ingest has handed over */
	bool caught_up;
	bool leaving; /* unwanted: ingest still holds the token */
	struct wish *wishes;
	struct topic *following;
};

struct wish {
	struct feed *feed;
	uint32_t topic; /* the topic's number in the feed */
	struct wish *following;
};

struct open_feed {
	struct feed *feed;
	bool dynamic;
	struct open_feed *following;
};

struct feeds {
	struct feeds_source source;
	uint32_t warm_ms;
	void (*wake)(void *context);
	void *wake_context;
	struct epoch *epoch;
	pthread_mutex_t lock;
	struct topic *topics;
	struct open_feed *open;
	uint32_t dynamic_count;
};

struct feeds *feeds_new(const struct feeds_source *source, uint32_t warm_ms,
			void (*wake)(void *context), void *context)
{
	struct feeds *feeds = MEM_NEW(struct feeds);

	feeds->source = *source;
	feeds->warm_ms = warm_ms;
	feeds->wake = wake;
	feeds->wake_context = context;
	feeds->epoch = epoch_new();
	pthread_mutex_init(&feeds->lock, NULL);
	return feeds;
}

struct epoch *feeds_epoch(struct feeds *feeds)
{
	return feeds->epoch;
}

static void topic_free(struct topic *topic)
{
	while (topic->wishes) {
		struct wish *wish = topic->wishes;

		topic->wishes = wish->following;
		free(wish);
	}
	position_fini(&topic->next);
	free(topic->name);
	free(topic);
}

void feeds_free(struct feeds *feeds)
{
	while (feeds->topics) {
		struct topic *topic = feeds->topics;

		feeds->topics = topic->following;
		topic_free(topic);
	}
	while (feeds->open) {
		struct open_feed *open = feeds->open;

		feeds->open = open->following;
		feed_free(open->feed);
		free(open);
	}
	epoch_free(feeds->epoch);
	pthread_mutex_destroy(&feeds->lock);
	free(feeds);
}

static struct topic *find_topic(struct feeds *feeds, const char *name)
{
	for (struct topic *topic = feeds->topics; topic; topic = topic->following)
		if (!topic->leaving && strcmp(topic->name, name) == 0)
			return topic;
	return NULL;
}

/* A feed that joins a topic which is read already begins where ingest is. */
static void join(struct topic *topic, struct feed *feed, uint32_t number)
{
	struct wish *wish = MEM_NEW(struct wish);

	wish->feed = feed;
	wish->topic = number;
	wish->following = topic->wishes;
	topic->wishes = wish;
	for (uint32_t p = 0; p < topic->next.topics[0].partition_count; p++)
		position_set(&feed->position, number, p, position_get(&topic->next, 0, p));
	if (topic->caught_up)
		feed->topics_behind--;
}

static void want(struct feeds *feeds, struct feed *feed, uint32_t number, uint32_t warm_ms)
{
	struct topic *topic = find_topic(feeds, feed->topics[number]);

	if (topic) {
		join(topic, feed, number);
		return;
	}
	topic = MEM_NEW(struct topic);
	topic->name = mem_strdup(feed->topics[number]);
	position_init(&topic->next, 1);
	topic->following = feeds->topics;
	feeds->topics = topic;
	join(topic, feed, number);
	feeds->source.want(feeds->source.context, topic->name, warm_ms, topic);
}

static struct feed *open_new(struct feeds *feeds, const struct stream *stream, char **topics,
			     size_t topic_count, bool dynamic)
{
	struct open_feed *open = MEM_NEW(struct open_feed);

	open->feed = feed_new(stream, topics, (uint32_t)topic_count, feeds->epoch);
	open->dynamic = dynamic;
	open->following = feeds->open;
	feeds->open = open;
	for (uint32_t i = 0; i < open->feed->topic_count; i++)
		want(feeds, open->feed, i, dynamic ? 0 : feeds->warm_ms);
	/* What ingest has read already is in the position: visible before anybody looks. The window
	 * has no entries, so this thread may write it; ingest waits for the lock. */
	open->feed->moved = true;
	feed_publish(open->feed);
	atomic_store(&open->feed->ready, open->feed->topics_behind == 0);
	return open->feed;
}

void feeds_declare(struct feeds *feeds, const struct stream *stream)
{
	pthread_mutex_lock(&feeds->lock);
	open_new(feeds, stream, stream->topics, stream->topic_count, false)->references++;
	pthread_mutex_unlock(&feeds->lock);
}

static struct feed *find_feed(struct feeds *feeds, const struct stream *stream, const char *topic)
{
	for (struct open_feed *open = feeds->open; open; open = open->following)
		if (open->feed->stream == stream &&
		    (!topic || strcmp(open->feed->topics[0], topic) == 0))
			return open->feed;
	return NULL;
}

int feeds_open(struct feeds *feeds, const struct stream *stream, const char *topic,
	       struct feed **feed)
{
	char *topics[] = {NULL};
	int rc = 0;

	pthread_mutex_lock(&feeds->lock);
	struct feed *found = find_feed(feeds, stream, topic);

	if (!found && feeds->dynamic_count >= FEEDS_MAX_DYNAMIC) {
		rc = ERROR_LIMIT;
	} else if (!found) {
		topics[0] = mem_strdup(topic);
		found = open_new(feeds, stream, topics, 1, true);
		feeds->dynamic_count++;
		free(topics[0]);
	}
	if (found) {
		found->references++;
		*feed = found;
	}
	pthread_mutex_unlock(&feeds->lock);
	return rc;
}

void feeds_ref(struct feeds *feeds, struct feed *feed)
{
	pthread_mutex_lock(&feeds->lock);
	feed->references++;
	pthread_mutex_unlock(&feeds->lock);
}

void feeds_close(struct feeds *feeds, struct feed *feed)
{
	pthread_mutex_lock(&feeds->lock);
	if (--feed->references == 0)
		feed->unused_since_ms = clock_monotonic_ms();
	pthread_mutex_unlock(&feeds->lock);
}

static void unwish(struct feeds *feeds, struct feed *feed)
{
	for (struct topic *topic = feeds->topics; topic; topic = topic->following) {
		for (struct wish **at = &topic->wishes; *at;) {
			struct wish *wish = *at;

			if (wish->feed == feed) {
				*at = wish->following;
				free(wish);
			} else {
				at = &wish->following;
			}
		}
		if (!topic->wishes && !topic->leaving) {
			topic->leaving = true;
			feeds->source.unwant(feeds->source.context, topic->name);
		}
	}
}

/* Feeds that were opened on first use and that nobody has used for a while. Nobody reads their
 * windows: a reader has a reference. */
static void let_go_unused(struct feeds *feeds)
{
	uint64_t now_ms = clock_monotonic_ms();

	for (struct open_feed **at = &feeds->open; *at;) {
		struct open_feed *open = *at;
		struct feed *feed = open->feed;

		if (!open->dynamic || feed->references ||
		    now_ms - feed->unused_since_ms < FEEDS_LINGER_MS) {
			at = &open->following;
			continue;
		}
		log_event(LOG_INFO, "feeds", "an unused feed is closed",
			  LOG_STR("stream", feed->stream->name), LOG_STR("topic", feed->topics[0]));
		*at = open->following;
		unwish(feeds, feed);
		feed_free(feed);
		free(open);
		feeds->dynamic_count--;
	}
}

static void move_topic(struct feeds *feeds, struct topic *topic, int32_t partition, int64_t next,
		       void (*move)(struct feed *feed, uint32_t topic, int32_t partition,
				    int64_t next))
{
	pthread_mutex_lock(&feeds->lock);
	position_set(&topic->next, 0, (uint32_t)partition, next);
	for (struct wish *wish = topic->wishes; wish; wish = wish->following)
		move(wish->feed, wish->topic, partition, next);
	pthread_mutex_unlock(&feeds->lock);
}

void feeds_on_partition(void *context, void *token, int32_t partition, int64_t next)
{
	move_topic(context, token, partition, next, feed_begin);
}

void feeds_on_end(void *context, void *token, int32_t partition, int64_t next)
{
	move_topic(context, token, partition, next, feed_move);
}

/* What they need together reads otherwise to one that takes as text what another one parses. */
static bool serves(unsigned parts, unsigned own)
{
	bool key_is_text = (own & DOCUMENT_KEY) && !(own & DOCUMENT_KEY_JSON);
	bool value_is_text = (own & DOCUMENT_VALUE_TEXT) && !(own & DOCUMENT_VALUE);

	return !(key_is_text && (parts & DOCUMENT_KEY_JSON)) &&
	       !(value_is_text && (parts & DOCUMENT_VALUE));
}

/* One decoding serves the feeds of the topic; a feed gets one of its own where that fails, or reads
 * otherwise to it. */
static void hand_over(const struct topic *topic, const struct record *record)
{
	unsigned parts = 0;
	json_t *document = NULL;
	bool decoded;

	for (const struct wish *wish = topic->wishes; wish; wish = wish->following)
		parts |= wish->feed->stream->parts;
	decoded = parts && !document_build(record, parts, &document);
	for (const struct wish *wish = topic->wishes; wish; wish = wish->following) {
		unsigned own = wish->feed->stream->parts;
		bool shared = own == parts || (decoded && serves(parts, own));
		json_t *own_document = NULL;

		if (!shared && own && document_build(record, own, &own_document))
			own_document = NULL;
		feed_append(wish->feed, wish->topic, record, shared ? document : own_document);
		json_decref(own_document);
	}
	json_decref(document);
}

void feeds_on_record(void *context, void *token, const struct record *record)
{
	struct feeds *feeds = context;
	struct topic *topic = token;

	metrics_add(METRIC_EVENTS_IN, 1);
	pthread_mutex_lock(&feeds->lock);
	position_set(&topic->next, 0, (uint32_t)record->partition, record->offset + 1);
	hand_over(topic, record);
	pthread_mutex_unlock(&feeds->lock);
}

void feeds_on_gap(void *context, void *token, int32_t partition, int64_t from, int64_t to)
{
	struct feeds *feeds = context;
	struct topic *topic = token;

	pthread_mutex_lock(&feeds->lock);
	position_set(&topic->next, 0, (uint32_t)partition, to);
	for (struct wish *wish = topic->wishes; wish; wish = wish->following)
		feed_gap(wish->feed, wish->topic, partition, from, to);
	pthread_mutex_unlock(&feeds->lock);
}

void feeds_on_flush(void *context)
{
	struct feeds *feeds = context;
	bool wake = false;

	pthread_mutex_lock(&feeds->lock);
	for (struct open_feed *open = feeds->open; open; open = open->following)
		wake |= feed_publish(open->feed);
	if (feeds->dynamic_count)
		let_go_unused(feeds);
	pthread_mutex_unlock(&feeds->lock);
	if (wake)
		feeds->wake(feeds->wake_context);
}

void feeds_on_caught_up(void *context, void *token)
{
	struct feeds *feeds = context;
	struct topic *topic = token;

	pthread_mutex_lock(&feeds->lock);
	if (!topic->caught_up) {
		topic->caught_up = true;
		for (struct wish *wish = topic->wishes; wish; wish = wish->following) {
			struct feed *feed = wish->feed;

			feed_publish(feed);
			if (--feed->topics_behind == 0)
				atomic_store(&feed->ready, true);
		}
	}
	pthread_mutex_unlock(&feeds->lock);
	feeds->wake(feeds->wake_context);
}

void feeds_on_forgotten(void *context, void *token)
{
	struct feeds *feeds = context;

	pthread_mutex_lock(&feeds->lock);
	for (struct topic **at = &feeds->topics; *at; at = &(*at)->following) {
		if (*at != token)
			continue;
		*at = (*at)->following;
		topic_free(token);
		break;
	}
	pthread_mutex_unlock(&feeds->lock);
}

void feeds_each(struct feeds *feeds, void (*visit)(void *context, struct feed *feed), void *context)
{
	pthread_mutex_lock(&feeds->lock);
	for (struct open_feed *open = feeds->open; open; open = open->following)
		visit(context, open->feed);
	pthread_mutex_unlock(&feeds->lock);
}
